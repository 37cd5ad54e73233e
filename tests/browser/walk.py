"""Goes through every feature of the pages in Chromium, at a desk and on a phone, in English and Chinese, and keeps a record.

    python tests/browser/walk.py                              # all four runs, then the controls
    python tests/browser/walk.py --run phone-zh --part chat   # one part of one run

For each step `walk.jsonl` in the folder of `--record` has a line (feature, what was seen, seconds, pictures, commit). A
step that fails is in the record too, and the walk goes on; then exit 1. The controls break the product in one way each and
must be noticed. The last line of the output is JSON with the figures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
sys.path.append(str(Path(__file__).parents[1] / "golden"))
sys.path.append(str(Path(__file__).parents[2] / "tools"))
import walk_asking
import walk_chat
import walk_plain
import walk_setup
from browser_visit import ARGUMENTS, CHROMIUM, GET
from prove import commit
from walk_controls import CONTROLS
from walk_product import product
from walk_steps import SIZES, Record, Step, Walk

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "zh")
CONTROL_MS = 8_000
"""What a page may take in a control, where most of the waiting is for what cannot come."""
RUNS = [f"{size}-{language}" for size in SIZES for language in LANGUAGES]
PARTS = {
    "chat": walk_chat.STEPS,
    "asking": walk_asking.ASKING,
    "objections": walk_asking.OBJECTIONS,
    "plain": walk_plain.STEPS,
}
"""The parts on a product of the chat; the part `setup` has one of its own."""

ALL = (*PARTS, "setup")


@contextmanager
def chromium() -> Iterator[Any]:
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def go(walk: Walk, steps: Iterable[Step]) -> None:
    """Each step by a guest of its own."""
    for step in steps:
        walk.product.configured(step.config)
        walk.take(step, walk.guest(script=step.script))


def controls(browser: Any, folder: Path, record: Record) -> None:
    """Break the product in one way after another; the steps that rest on it must fail."""
    with product(folder) as made:
        for one in CONTROLS:
            walk = Walk(browser, SIZES["desktop"], "en", made, record, one.spoil, CONTROL_MS)
            walk.control, walk.spoiled = one.name, one.spoiled
            go(walk, one.steps)


def runs(browser: Any, folder: Path, record: Record, options: argparse.Namespace) -> None:
    """Every run that is asked for, each on products of its own."""
    for run in options.run or RUNS:
        size, language = run.split("-")
        with product(folder / run) as made:
            walk = Walk(browser, SIZES[size], language, made, record, patience_ms=options.patience * 1000)
            for part in options.part or ALL:
                if part == "setup":
                    walk_setup.go(walk, folder / f"{run}-setup", options.step)
                else:
                    go(walk, [one for one in PARTS[part] if not options.step or one.name in options.step])


def figures(record: Record) -> dict[str, Any]:
    """What the record comes to: steps, failures and seconds of each run, and the controls nobody noticed."""
    walked = [one for one in record.lines if "control" not in one]
    tried = [one for one in record.lines if "control" in one]
    by_run = {
        run: {
            "steps": sum(one["run"] == run for one in walked),
            "seconds": round(sum(one["seconds"] for one in walked if one["run"] == run), 1),
        }
        for run in dict.fromkeys(one["run"] for one in walked)
    }
    failed = [f"{one['run']} {one['step']}" for one in walked if not one["passed"]]
    unnoticed = [f"{one['control']}: {one['step']}" for one in tried if not one["noticed"]]
    passed = bool(walked or tried) and not failed and not unnoticed
    return {
        "runs": by_run,
        "pictures": sum(len(one["pictures"]) for one in walked),
        "controls": len(tried),
        "failed": failed,
        "unnoticed": unnoticed,
        "passed": passed,
    }


def main() -> int:
    """Run what is asked for. 0 where every step saw what it should, and every control was noticed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path, default=ROOT / "build" / "walk")
    parser.add_argument("--run", choices=RUNS, action="append", help="repeatable; without it all four")
    parser.add_argument("--part", choices=ALL, action="append", help="repeatable; without it all parts")
    parser.add_argument("--step", action="append", help="repeatable; of these names alone")
    parser.add_argument("--patience", type=int, default=60, help="seconds that a page may take for anything")
    parser.add_argument("--controls", choices=("after", "alone", "none"), default="after")
    options = parser.parse_args()
    if CHROMIUM is None:
        print(GET, file=sys.stderr)
        return 1
    record = Record(options.record, commit())
    with tempfile.TemporaryDirectory(prefix="dragoman-walk-") as name, chromium() as browser:
        if options.controls != "alone":
            runs(browser, Path(name), record, options)
        if options.controls != "none":
            controls(browser, Path(name) / "controls", record)
    said = figures(record)
    print(json.dumps(said))
    return 0 if said["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
