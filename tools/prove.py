"""`make prove`: the full counts behind the promises, one JSON record a proof, resumable.

Each proof is a command that prints a last line of JSON with its figures. A proof that already holds for this
commit is not run again; `--only NAME` and `--again` choose. Long: hours on two cores; run it in the background.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "build" / "prove.json"
PROOFS = json.loads((ROOT / "tools" / "proofs.json").read_text())


def commit() -> str:
    """The commit these figures belong to, marked when the tree differs from it."""
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    dirty = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


def load() -> dict[str, dict[str, object]]:
    """What was proved so far."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def figures(output: str) -> object:
    """The last line of the output that is a JSON object."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return None


def prove(name: str, proof: dict[str, object], at: str) -> dict[str, object]:
    """Run one proof with its counts; its output is in sight and its figures kept."""
    print(f"== {name}: {proof['shows']}", flush=True)
    env = {**os.environ, **{k: str(v) for k, v in dict(proof.get("env", {})).items()}}
    begun = time.monotonic()
    command = [sys.executable if word == "python" else word for word in list(proof["command"])]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        lines = []
        for line in child.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    return {
        "commit": at,
        "passed": child.returncode == 0,
        "seconds": round(time.monotonic() - begun, 1),
        "command": " ".join(map(str, proof["command"])),
        "env": proof.get("env", {}),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "figures": figures("\n".join(lines)),
    }


def main() -> None:
    """Run what is not yet proved for this commit; exit 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=sorted(PROOFS), help="run only this proof (repeatable)"
    )
    parser.add_argument("--again", action="store_true", help="run even what already holds for this commit")
    chosen = parser.parse_args()
    at, record = commit(), load()
    RECORD.parent.mkdir(exist_ok=True)
    for name, proof in PROOFS.items():
        done = record.get(name, {})
        if chosen.only and name not in chosen.only:
            continue
        if not chosen.again and done.get("passed") and done.get("commit") == at:
            print(f"== {name}: holds already for {at}")
            continue
        record[name] = prove(name, proof, at)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    failed = [name for name, entry in record.items() if not entry["passed"]]
    print(
        f"\nProved: {len(record) - len(failed)}, failed: {failed or 'none'}; figures in {RECORD.relative_to(ROOT)}"
    )
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
