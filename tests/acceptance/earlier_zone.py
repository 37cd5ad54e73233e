"""Makes a zone's data folder with any commit's product, and says what has to be there again later.

`python tests/acceptance/earlier_zone.py COMMAND TARGET.tar.xz` runs that command's `serve`; what a later version
is asked for is in `facts.json` beside the data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import httpx

from dragoman.testing.ports import free_port

RULES = """
[[rules]]
id = "op.word"
words = ["forbidden phrase"]
direction = ["in"]
action = "refuse"
message = { en = "House rules.", zh = "内部规则。" }
source = { title = "Disclosure policy 3.1", url = "https://intranet.example/3-1" }
"""
CONFIG = 'rules = ["rules.toml"]\n[tenants.acme]\ntitle = "Acme"\n'
TURNS = 5


def write_config(folder: Path) -> tuple[Path, str]:
    """A configuration on free ports whose data lies beside it; the file and the base URL."""
    port, admin = free_port(), free_port()
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    file = folder / "dragoman.toml"
    zone = f'[zone]\nlisten = "127.0.0.1:{port}"\nadmin_listen = "127.0.0.1:{admin}"\ndata = "data"\n'
    file.write_text(CONFIG + zone, encoding="utf-8")
    return file, f"http://127.0.0.1:{port}"


def verb(command: list[str], file: Path, *args: str) -> Any:
    """A verb's JSON answer."""
    done = subprocess.run(
        [*command, *args, "--config", str(file), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def environment() -> dict[str, str]:
    """The environment without settings of the person who runs it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DRAGOMAN_")}


def ask(url: str, key: str, text: str) -> httpx.Response:
    """One turn of the built-in model."""
    body = {"model": "dragoman", "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def serve(command: list[str], file: Path, log: Path) -> subprocess.Popen[str]:
    """A running product; returns when it says that it is ready."""
    with log.open("ab") as errors:
        child = subprocess.Popen(
            [*command, "serve", "--config", str(file), "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
        )
    assert child.stdout
    assert child.stdout.readline(), log.read_text()[-3000:]
    return child


def make(command: list[str], folder: Path) -> dict[str, Any]:
    """Serve, use it, stop: keys, a suspended tenant, turns, a refusal with its statement; what was there."""
    file, url = write_config(folder)
    child = serve(command, file, folder / "serve.log")
    try:
        good, revoked = verb(command, file, "keys", "create"), verb(command, file, "keys", "create")
        verb(command, file, "keys", "revoke", revoked["key"])
        other = verb(command, file, "keys", "create", "--tenant", "acme")
        answers = [ask(url, good["text"], f"How long may I return an item? ({n})") for n in range(TURNS)]
        assert {answer.status_code for answer in answers} == {200}
        refused = ask(url, good["text"], "a forbidden phrase").json()
        intervention = refused["dragoman"]["interventions"][0]["id"]
        headers = {"authorization": f"Bearer {good['text']}"}
        statement = httpx.get(f"{url}/v1/interventions/{intervention}", headers=headers, timeout=60)
        assert statement.status_code == 200
        verb(command, file, "tenants", "suspend", "acme", "--reason", "test")
    finally:
        child.terminate()
        assert child.wait(60) == 0
    report = subprocess.run(
        [*command, "ledger", "verify", "--data", str(folder / "data"), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=environment(),
    )
    verified = json.loads(report.stdout)
    assert verified["sound"]
    return {
        "key": good["text"],
        "revoked": revoked["text"],
        "suspended": other["text"],
        "intervention": intervention,
        "statement": statement.json(),
        "receipts": [answer.headers["dragoman-receipt"] for answer in answers],
        "registry_key": verified["registry_key"],
        "logs": [{name: log[name] for name in ("log", "proven", "root")} for log in verified["logs"]],
    }


def pack(folder: Path, facts: dict[str, Any], target: Path) -> None:
    """Write the data and the facts; without sockets, locks and what is prepared ahead. Times and owners are zero."""
    (folder / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(info.name).name
        if name in {"run", "spare", "lock", "zone.lock", "backups"} or name.startswith("index-v"):
            return None
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info

    with tarfile.open(target, "w:xz", preset=9) as archive:
        for name in ("facts.json", "data"):
            archive.add(folder / name, name, filter=plain)


def unpack(source: Path, folder: Path) -> dict[str, Any]:
    """The data below `folder`; the facts."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    for path in (folder / "data").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    (folder / "data").chmod(0o700)
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text("utf-8"))
    return facts


def main() -> None:
    """Make one and pack it."""
    command, target = sys.argv[1].split(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pack(folder, make(command, folder), target)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
