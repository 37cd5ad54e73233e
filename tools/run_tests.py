"""`make test`: the Rust tests, then the Python tests, each with its time; stops at the first that fails.

DRAGOMAN_SEED adds a seed to the fixed ones (a fresh one is drawn and printed otherwise).
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FRONTS = ("nginx", "haproxy")
STEPS = (
    (
        "Rust tests",
        ["cargo", "test", "--release", "--locked", "-q", "-p", "dragoman-engine", "-p", "dragoman-relay"],
    ),
    ("Python tests", [sys.executable, "-m", "pytest", "-q", "--hypothesis-seed={seed}"]),
)


def main() -> None:
    """Run the steps in order and say how long each took."""
    seed = os.environ.setdefault("DRAGOMAN_SEED", str(secrets.randbelow(2**32)))
    os.environ.setdefault("PROPTEST_RNG_SEED", seed)
    print(f"Seed of this run: {seed} (set DRAGOMAN_SEED to repeat it)", flush=True)
    if not any(map(shutil.which, BROWSERS)):
        print(
            "Browser tests are skipped: no Chromium here. On Debian or Ubuntu: apt-get install chromium",
            flush=True,
        )
    where = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    if missing := [name for name in FRONTS if shutil.which(name, path=where) is None]:
        print(
            f"Tests behind {' and '.join(missing)} are left out. On Debian or Ubuntu: "
            "apt-get install nginx-light haproxy",
            flush=True,
        )
    started = time.monotonic()
    for title, command in STEPS:
        print(f"\n== {title}", flush=True)
        begun = time.monotonic()
        code = subprocess.run([word.format(seed=seed) for word in command], cwd=ROOT).returncode
        print(f"== {title}: {time.monotonic() - begun:.0f} s", flush=True)
        if code:
            sys.exit(f"{title} failed. Repeat with DRAGOMAN_SEED={seed}.")
    print(f"\nAll tests passed in {time.monotonic() - started:.0f} s.", flush=True)


if __name__ == "__main__":
    main()
