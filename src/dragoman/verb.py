"""The command's entry: `dragoman serve` becomes the small supervisor, every other verb the command line.

The supervisor stays for as long as the zone is served, so it does not load what only verbs need.
"""

from __future__ import annotations

import runpy
import sys

HELP = frozenset({"--help", "-h"})


def main() -> None:
    """Run one of the two as the program."""
    serves = sys.argv[1:2] == ["serve"] and not HELP & set(sys.argv)
    if serves:
        del sys.argv[1]
    runpy.run_module("dragoman.serve" if serves else "dragoman.cli", run_name="__main__", alter_sys=True)
