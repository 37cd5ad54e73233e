"""`make bench`: Dragoman, the floor and the peers in one run on one machine, interleaved, against one fake provider.

Writes bench/results/<date>-<commit>.json, .md and .png. `--quick` takes about four minutes and shows that all works.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cells
import open_loop
import peers
import rig
import systems
import table
import windows
import words

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
STATE = ROOT / "build" / "bench-state.json"
OURS = ("dragoman", "floor")
PEERS = ("vllm-router", "tensorzero", "litellm")
TRIES = 3
"""A refused window is repeated at once, at most so often; all refusals are counted."""


def main(argv: list[str] | None = None) -> int:
    """Runs what the arguments ask for; 1 when a system of ours could not be measured."""
    options = _options(argv)
    programs = rig.build()
    head = _header(argv if argv is not None else sys.argv[1:])
    state = _resumed(head) if options.resume else {}
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as folder:
        bench = Bench(programs, Path(folder), options, {**state, "header": head})
        try:
            bench.run()
        finally:
            bench.stop()
    if options.no_write:
        print(table.markdown(bench.document))
        return int(bool(bench.broken))
    _write(bench.document)
    return int(bool(bench.broken))


class Bench:
    """The running systems, and the document that grows window by window."""

    def __init__(
        self, programs: Path, folder: Path, options: argparse.Namespace, document: dict[str, Any]
    ) -> None:
        self.programs, self.folder, self.options, self.document = programs, folder, options, document
        self.running: dict[str, systems.System] = {}
        self.broken: list[str] = []
        self.provider = systems.start_provider(programs, folder)
        self.rig = systems.Rig(programs, folder, self.provider)
        for name in ("cells", "open_loop", "leaks", "systems", "missing"):
            self.document.setdefault(name, {})
        self.document.setdefault("refused", [])

    def run(self) -> None:
        wanted = self.options.systems or [*OURS, *(() if self.options.no_peers else PEERS)]
        for name in wanted:
            self._start(name)
        for cell in cells.CELLS:
            if self.options.cells and cell.name not in self.options.cells:
                continue
            self._cell(self._length(cell))
        if not self.options.no_open:
            self._open()
        for name in wanted:
            if name in self.running:
                self.document["systems"][name]["rss_after_mb"] = self.running[name].tree.rss_mb()
        if not self.options.no_leaks:
            self._leaks()

    def _length(self, cell: cells.Cell) -> cells.Cell:
        if self.options.quick:
            return cells.quick(cell)
        return cells.short(cell) if self.options.short else cell

    def stop(self) -> None:
        for system in [*self.running.values(), self.provider]:
            system.tree.stop()

    def _start(self, name: str) -> None:
        print(f"starting {name} ...", flush=True)
        begun = time.monotonic()
        try:
            system = systems.STARTERS[name](self.rig)
        except systems.CannotStart as error:
            print(f"  not measured: {error}", flush=True)
            self.document["missing"][name] = str(error).splitlines()[0]
            if name in OURS:
                self.broken.append(name)
            return
        self.running[name] = system
        took = time.monotonic() - begun
        system.tree.quiet()
        idle_before = system.tree.cpu_ms()
        time.sleep(2)
        self.document["systems"][name] = {
            "version": system.version,
            "note": system.note,
            "start_s": round(took, 2),
            "idle_cpu_ms_per_s": round((system.tree.cpu_ms() - idle_before) / 2, 2),
            "rss_idle_mb": system.tree.rss_mb(),
        }

    def _cell(self, cell: cells.Cell) -> None:
        if cell.name in self.document["cells"]:
            print(f"{cell.title}: kept from the interrupted run", flush=True)
            return
        names = [n for n in self.running if n in OURS or cell.peers]
        found: dict[str, list[dict[str, Any] | None]] = {name: [] for name in names}
        for turn in range(cell.pairs):
            now = [n for n in names if n in OURS or turn < cell.peer_pairs]
            for name in now if turn % 2 == 0 else reversed(now):
                window = self._window(cell, self.running[name])
                found[name].append(window.document() if window else None)
            done = {n: found[n][-1] for n in now}
            shown = "  ".join(f"{n} {w['cpu_per_request']:.3f}" if w else f"{n} -" for n, w in done.items())
            print(f"{cell.title}  {turn + 1}/{cell.pairs}  CPU ms: {shown}", flush=True)
        self.document["cells"][cell.name] = {"title": cell.title, "windows": found, "seconds": cell.seconds}
        self._keep()

    def _window(self, cell: cells.Cell, system: systems.System) -> windows.Window | None:
        for _ in range(TRIES):
            window = windows.closed(self.programs, system, self.provider, cell)
            if window.refused is None:
                return window
            self._refused(cell.name, window)
        return None

    def _refused(self, where: str, window: windows.Window) -> None:
        print(f"  refused: {window.system}: {window.refused}", flush=True)
        self.document["refused"].append({"cell": where, "system": window.system, "why": window.refused})

    def _open(self) -> None:
        seconds, repeats = (2.0, 1) if self.options.quick else (4.0, 2) if self.options.short else (8.0, 3)
        peaks = table.peaks(self.document)
        for name, system in self.running.items():
            if name not in self.document["open_loop"] and peaks.get(name):
                plan = open_loop.Plan(self.programs, self.provider, seconds, repeats, self._refused)
                self.document["open_loop"][name] = open_loop.measure(plan, system, peaks[name])
                self._keep()

    def _leaks(self) -> None:
        """The systems that claim a filter, and the floor as the control that must deliver all of it."""
        if "litellm" in self.running:
            self._start("litellm+filter")
        for name in ("dragoman", "litellm+filter", "floor"):
            if name in self.running:
                self.document["leaks"][name] = {
                    lane: self._lane(self.running[name], lane) for lane in cells.LANES
                }
                print(f"forbidden characters delivered, {name}: {self.document['leaks'][name]}", flush=True)

    def _lane(self, system: systems.System, lane: str) -> dict[str, int]:
        found = {"answers": 0, "most": 0, "most_in_errors": 0, "not_measured": 0, "without_end": 0}
        least: list[int] = []
        for size in cells.PIECES:
            for stream in (True, False):
                window = windows.leaks(
                    self.programs,
                    system,
                    self.provider,
                    model=f"leak-{lane}-{size}",
                    stream=stream,
                    phrase=words.PHRASE,
                )
                if not window.answered:
                    found["not_measured"] += 1
                    self._refused(f"leak-{lane}-{size}", window)
                    continue
                found["answers"] += window.answered
                found["without_end"] += window.report["incomplete"]
                found["most"] = max(found["most"], window.report["leaks"]["most"])
                found["most_in_errors"] = max(
                    found["most_in_errors"], window.report["leaks"]["most_elsewhere"]
                )
                least.append(window.report["least_chars"] or 0)
        return {**found, "least_chars": min(least, default=0)}

    def _keep(self) -> None:
        STATE.parent.mkdir(parents=True, exist_ok=True)
        STATE.write_text(json.dumps(self.document), encoding="utf-8")


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="short windows, all pairs: about fifteen minutes"
    )
    parser.add_argument("--quick", action="store_true", help="short windows, few pairs: a look, not a result")
    parser.add_argument("--no-peers", action="store_true", help="only Dragoman and the floor")
    parser.add_argument("--no-open", action="store_true", help="leave the open loop out")
    parser.add_argument("--no-leaks", action="store_true", help="leave the leak cells out")
    parser.add_argument("--no-write", action="store_true", help="print the table, write no result")
    parser.add_argument(
        "--resume", action="store_true", help="keep the cells of an interrupted run of this commit"
    )
    parser.add_argument("--systems", nargs="+", choices=sorted(systems.STARTERS), help="only these")
    parser.add_argument("--cells", nargs="+", choices=[c.name for c in cells.CELLS], help="only these")
    return parser.parse_args(argv)


def _header(arguments: list[str]) -> dict[str, Any]:
    described = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[2].strip() for line in described if line.startswith("model name")]
    cpu = named[0] if named else platform.machine()
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": f"{os.cpu_count()} x {cpu}, {_memory_gb()} GB, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "command": " ".join(["make bench", *([f'ARGS="{" ".join(arguments)}"'] if arguments else [])]),
        "load_average": os.getloadavg()[0],
    }


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _resumed(head: dict[str, Any]) -> dict[str, Any]:
    """The kept state of an interrupted run, when it is of this commit and machine."""
    if not STATE.is_file():
        return {}
    state: dict[str, Any] = json.loads(STATE.read_text(encoding="utf-8"))
    same = all(state.get("header", {}).get(k) == head[k] for k in ("commit", "machine"))
    return state if same else {}


def _write(document: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    stem = f"{document['header']['date']}-{document['header']['commit']}"
    path = RESULTS / f"{stem}.json"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    path.with_suffix(".md").write_text(table.markdown(document), encoding="utf-8")
    print(table.markdown(document))
    chart = peers.obtain("chart")
    if chart.missing:
        print(f"no chart: {chart.missing}")
        return
    subprocess.run([str(chart.python), str(Path(__file__).with_name("chart.py")), str(path)], check=False)
    STATE.unlink(missing_ok=True)
    print(f"written: {path.relative_to(ROOT)}, .md, .png")


if __name__ == "__main__":
    sys.exit(main())
