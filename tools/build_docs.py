"""`make docs`: docs/*.md as a site in build/docs, by Sphinx in an environment of its own.

That environment is made of requirements/docs.txt and holds nothing of Dragoman, so that serving and testing do not
grow by it. A warning is an error: a link to a page that is not there, a page in no list, a broken table.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "docs.txt"
ENVIRONMENT = ROOT / "build" / "docs-env"
SITE = ROOT / "build" / "docs"
KEPT = ROOT / "build" / "docs-kept"
"""What Sphinx keeps between two runs."""
PYTHON_MIN = (3, 11)


def is_ready() -> bool:
    """Whether the environment is there as the lock wants it."""
    stamp = ENVIRONMENT / "ready"
    return stamp.exists() and stamp.read_text() == _digest()


def _digest() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def set_up() -> None:
    """Make the environment, if the lock changed or it is not there. Exits with what is missing."""
    if is_ready():
        return
    if sys.version_info < PYTHON_MIN:
        sys.exit("The docs need Python 3.11 or newer: install it, then run: make PYTHON=python3.11 docs")
    print("Setting up Sphinx in build/docs-env: once, about a minute.", flush=True)
    _run(sys.executable, "-m", "venv", "--clear", ENVIRONMENT)
    pip = (_python(), "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "-q")
    _run(*pip, "-r", LOCK)
    (ENVIRONMENT / "ready").write_text(_digest())


def build(source: Path = ROOT / "docs", site: Path = SITE, kept: Path = KEPT) -> int:
    """Build `site` of the pages in `source`; the exit status, not 0 where Sphinx had something to say."""
    command = [_python(), "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "-d", kept, source, site]
    return subprocess.run([str(part) for part in command], env=_plain(), cwd=ROOT).returncode


def _run(*command: str | Path) -> None:
    if subprocess.run([str(part) for part in command], env=_plain(), cwd=ROOT).returncode:
        sys.exit(
            "Stopped. The lines above say why; on Debian or Ubuntu venv is: apt-get install python3-venv"
        )


def _plain() -> dict[str, str]:
    """The environment without a folder of modules that would come before the installed ones."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}


def _python() -> Path:
    folder = "Scripts" if os.name == "nt" else "bin"
    return ENVIRONMENT / folder / "python"


def main() -> None:
    """Set up, build, say where."""
    set_up()
    if build():
        sys.exit("The docs are not built: see the lines above.")
    print(f"The docs begin at {SITE / 'index.html'}")


if __name__ == "__main__":
    main()
