"""Builds the rig's three programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build() -> Path:
    """Builds them in release form; returns the folder that holds them, or ends the process with a sentence."""
    command = ["cargo", "build", "--profile", "native", "--locked", "-p", "dragoman-bench"]
    try:
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
    except FileNotFoundError:
        status = 127
    if status != 0:
        sys.exit("the rig could not be built: Rust and a C compiler are needed")
    return Path(os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))) / "native"
