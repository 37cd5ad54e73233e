"""A process that crashes leaves no copy of its memory, which holds what people wrote."""

from __future__ import annotations

import resource

_NO_DUMP_BYTES = 1
"""Less than any dump, so that none is written to a file; and where dumps are piped to a program, whatever the
limit, Linux takes this very value for none (fs/coredump.c)."""


def leave_no_dump() -> None:
    """Have this process and its children write no core dump; the hard limit stays as it was."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    least = _NO_DUMP_BYTES if hard == resource.RLIM_INFINITY else min(_NO_DUMP_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (least, hard))
