"""The one word the supervisor and the relay's process share; apart, so that neither loads the other."""

SUPERVISED = "DRAGOMAN_SUPERVISED"
"""Set by the supervisor: end when it is gone, however it went."""
