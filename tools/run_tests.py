"""`make test`: the Rust tests, then the Python tests in three parts at once, each with its time.

DRAGOMAN_SEED adds a seed to the fixed ones (a fresh one is drawn and printed otherwise).

Hundreds of tests watch several processes on a clock, and one of them may ask a moment too early on a busy machine. A test
that fails is run again alone with the same seed: if it passes every time, it is named as unsteady at the end, to be
mended, and does not fail the run. More than a few are no accident, and what fails for a reason fails again.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FRONTS = ("nginx", "haproxy")
CARGO_TEST = ["cargo", "test", "--release", "--locked", "-q"]
RUST = [*CARGO_TEST, "--no-fail-fast", "-p", "dragoman-engine", "-p", "dragoman-relay"]
PYTEST = [sys.executable, "-m", "pytest", "-q", "--durations=15", "-o"]
PYTEST_FAILED = 1
"""The exit status of a run in which tests failed, and nothing else."""
CACHE = ".pytest_cache"
MOST_UNSTEADY = 3
TRIES_ALONE = 2
APART = {"the whole product": "acceptance", "its pages": "browser"}
"""The folders whose tests wait for processes most of the time. They run at once, and beside them what is left, which
computes: of the three each takes about as long."""
LEFT = "its parts"


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
    wrong, unsteady = [], []
    for part in (_rust, _python):
        for title, failed, again in part(seed):
            if failed and all(map(_passes_alone, again)):
                unsteady += failed
            elif failed is not None:
                wrong.append(title)
        if wrong:
            sys.exit(f"{' and '.join(wrong)} failed. Repeat with DRAGOMAN_SEED={seed}.")
    print(f"\nAll tests passed in {time.monotonic() - started:.0f} s.", flush=True)
    if unsteady:
        print("Unsteady, failed once and passed alone; mend them:", *unsteady, sep="\n  ", flush=True)


Part = tuple[str, list[str] | None, list[list[str]]]
"""What it is called; the tests that failed (none where all passed, empty where it ended without naming them or named too
many); the commands that run these tests alone."""


def _rust(_seed: str) -> Iterator[Part]:
    begun = time.monotonic()
    with subprocess.Popen(RUST, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(line.decode(errors="replace"))
            sys.stdout.write(lines[-1])
    title = "Rust tests"
    if not _ended(title, running, begun):
        yield title, None, []
        return
    failed, targets = rust_failures("".join(lines))
    again = [[*CARGO_TEST, *target.split(), "--", "--exact", *failed] for target in targets]
    yield title, few(failed), again


def rust_failures(printed: str) -> tuple[list[str], list[str]]:
    """The tests that failed and the targets they are of, from what `cargo test --no-fail-fast` printed.

    No test where a target failed without naming one: it crashed.
    """
    named = re.findall(r"^failures:\n((?:    \S+\n)+)\ntest result: FAILED", printed, re.MULTILINE)
    targets = re.findall(r"^    `(-p \S+ (?:--lib|--doc|--test \S+|--example \S+))`$", printed, re.MULTILINE)
    failed = [name for one in named for name in one.split()]
    return (failed, targets) if len(named) == len(targets) else ([], targets)


def few(failed: list[str]) -> list[str]:
    """The same, or none where it is too many for an accident."""
    return failed if len(failed) <= MOST_UNSTEADY else []


def _passes_alone(command: list[str]) -> bool:
    return all(
        _ended("Again, alone", subprocess.Popen(command, cwd=ROOT), time.monotonic()) == 0
        for _ in range(TRIES_ALONE)
    )


def _python(seed: str) -> Iterator[Part]:
    """All parts at once; the output of each is printed when it and those before it have ended, the first's as it comes."""
    begun = time.monotonic()
    left = sorted(
        one.name
        for one in (ROOT / "tests").iterdir()
        if one.is_dir() and one.name not in (*APART.values(), "__pycache__")
    )
    parts = {**{title: [folder] for title, folder in APART.items()}, LEFT: left}
    shutil.rmtree(ROOT / CACHE, ignore_errors=True)
    with ExitStack() as outputs:
        running = []
        for title, folders in parts.items():
            kept = outputs.enter_context(tempfile.TemporaryFile()) if running else None
            command = _pytest(title, seed, [f"tests/{one}" for one in folders])
            running.append((title, kept, subprocess.Popen(command, cwd=ROOT, stdout=kept, stderr=kept)))
        codes = {}
        for title, kept, process in running:
            codes[title] = _ended(f"Python tests of {title}", process, begun)
            if kept is not None:
                kept.seek(0)
                print(kept.read().decode(errors="replace"), flush=True)
    for title, code in codes.items():
        if code == 0:
            yield title, None, []
            continue
        last = ROOT / CACHE / title / "v/cache/lastfailed"
        failed = list(json.loads(last.read_text())) if code == PYTEST_FAILED and last.exists() else []
        yield f"Python tests of {title}", few(failed), [_pytest("again", seed, failed)]


def _pytest(cache: str, seed: str, tests: list[str]) -> list[str]:
    return [*PYTEST, f"cache_dir={CACHE}/{cache}", f"--hypothesis-seed={seed}", *tests]


def _ended(title: str, process: subprocess.Popen[bytes], begun: float) -> int:
    """Wait for it and say how long it took. Its exit status."""
    code = process.wait()
    print(f"== {title}: {time.monotonic() - begun:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    main()
