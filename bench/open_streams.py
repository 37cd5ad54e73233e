"""Opens 10,000 streams at once and reads the relay's memory: `python bench/open_streams.py [--streams N] [--system S]`.

The goal is 10,000 open streams in at most 1 GiB of the relay. Fails when it is missed or a stream is not open.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rig
import systems

GOAL_MB = 1073.7
RAMP = 1500.0
"""Streams opened a second: the provider and the load share the machine."""
MODEL = "held"
"""Forty seconds of one chunk a second: all streams are open together for a while."""


DESCRIPTORS_KEPT = 200
"""Open files a system needs besides the two of each stream."""


def possible(asked: int, limit: int) -> int:
    """The streams one process can hold under a limit of open files: two sockets each."""
    return max(0, min(asked, (limit - DESCRIPTORS_KEPT) // 2))


def raised(files: int) -> int:
    """Lets this process and what it starts open so many files, where it may; returns the limit that holds."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit != resource.RLIM_INFINITY and limit < files:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--system", choices=["dragoman", "floor"], default="dragoman")
    options = parser.parse_args()
    limit = raised(2 * options.streams + DESCRIPTORS_KEPT)
    streams = options.streams if limit == resource.RLIM_INFINITY else possible(options.streams, limit)
    if streams < options.streams:
        print(
            f"this machine allows {limit} open files a process: {streams} streams, memory scaled up",
            flush=True,
        )
    programs = rig.build()
    with tempfile.TemporaryDirectory(prefix="dragoman-streams-") as folder:
        provider = systems.start_provider(programs, Path(folder))
        try:
            system = systems.STARTERS[options.system](systems.Rig(programs, Path(folder), provider))
            try:
                found = measure(programs, system, provider, streams, options.streams)
            finally:
                system.tree.stop()
        finally:
            provider.tree.stop()
    print(json.dumps(found))
    return int(not found["passed"])


def measure(
    programs: Path, system: systems.System, provider: systems.System, streams: int, asked: int
) -> dict[str, Any]:
    """Opens the streams, samples memory while all are open, and waits until each has ended whole."""
    idle = system.tree.rss_mb()
    load = {
        "address": system.address,
        "path": system.path,
        "headers": system.headers,
        "model": system.prefix + MODEL,
        "stream": True,
        "connections": streams,
        "seconds": 600,
        "each": 1,
        "ramp": RAMP,
        "timeout_ms": 180_000,
        "expect_chars": 160,
    }
    with subprocess.Popen(
        [str(programs / "load"), json.dumps(load)], stdout=subprocess.PIPE, text=True
    ) as process:
        most, open_rss, at_most = 0, dict[str, float](), 0.0
        while process.poll() is None:
            time.sleep(0.5)
            now = _meter(provider)["open"]
            total = sum(system.tree.rss_mb().values())
            if now >= most or total > at_most:
                most, open_rss, at_most = max(most, now), system.tree.rss_mb(), max(total, at_most)
        assert process.stdout
        report = json.loads(process.stdout.read())
    largest = max(open_rss, key=lambda name: open_rss[name], default="")
    before = idle.get(largest, 0.0)
    each = (open_rss.get(largest, 0.0) - before) / max(most, 1)
    relay = before + each * asked
    return {
        "system": system.name,
        "streams": streams,
        "open_at_once": most,
        "answered": report["answered"],
        "errors": report["error_kinds"],
        "error_sample": report["error_sample"],
        "rss_idle_mb": idle,
        "rss_open_mb": open_rss,
        "kb_per_stream": round(each * 1000, 1),
        "largest_process_mb_at_asked": round(relay, 1),
        "asked": asked,
        "goal_mb": GOAL_MB,
        "gap_ms": report["gap_ms"],
        "passed": most == streams == report["answered"] and not report["errors"] and relay <= GOAL_MB,
    }


def _meter(provider: systems.System) -> dict[str, int]:
    connection = http.client.HTTPConnection(provider.address, timeout=10)
    try:
        connection.request("GET", "/meter")
        found: dict[str, int] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
