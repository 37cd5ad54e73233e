"""The relay's process: hands over to the native code first thing and uses no Python after.

`python -m dragoman.relay --config run/relay.json`; the verb `dragoman relay` becomes this process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from dragoman import _native
from dragoman.crash import leave_no_dump
from dragoman.relay_flag import SUPERVISED

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Carry turns until told to stop; the exit status is the relay's."""
    if os.environ.get(SUPERVISED) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    leave_no_dump()
    return _native.relay(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
