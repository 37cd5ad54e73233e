"""Limits, the buckets they make, what is granted of them, and usage."""
