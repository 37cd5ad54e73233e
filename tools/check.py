"""`make check`: every gate, all of them even if one fails, then one line each."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent
GATES: tuple[tuple[str, list[str]], ...] = (
    ("rustfmt", ["cargo", "fmt", "--all", "--check"]),
    ("clippy", ["cargo", "clippy", "--release", "--locked", "--all-targets", "-q", "--", "-D", "warnings"]),
    ("ruff format", [f"{BIN}/ruff", "format", "--check", "-q", "src", "tests", "tools", "bench", "docs"]),
    ("ruff", [f"{BIN}/ruff", "check", "-q", "src", "tests", "tools", "bench", "docs"]),
    ("mypy", [f"{BIN}/mypy"]),
    ("stubs", [PYTHON, "-m", "mypy.stubtest", "dragoman._native", "--mypy-config-file", "pyproject.toml"]),
    ("imports", [f"{BIN}/lint-imports"]),
    ("tidy", [PYTHON, "tools/tidy.py"]),
    ("licences", [PYTHON, "tools/licences.py"]),
)


def main() -> None:
    """Run each gate and end with a table; exit 1 if any failed."""
    results = []
    for name, command in GATES:
        print(f"== {name}", flush=True)
        begun = time.monotonic()
        code = subprocess.run(command, cwd=ROOT).returncode
        results.append((name, code == 0, time.monotonic() - begun))
    print()
    for name, passed, seconds in results:
        print(f"{'ok    ' if passed else 'FAILED'} {name:12} {seconds:5.1f} s")
    if not all(passed for _, passed, _ in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
