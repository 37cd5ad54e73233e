"""A zone of an earlier commit served by this one: nothing is lost; and by an earlier one never again.

`tests/golden/zone-fb6c2ed.tar.xz` was made by that commit. `make prove` builds the commit that
`DRAGOMAN_EARLIER` names and makes it anew.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from earlier_zone import ask, environment, make, serve, unpack, verb, write_config

from dragoman import _native
from dragoman.ledger.logs import find_log
from dragoman.ledger.verify import verify_zone
from dragoman.stores.migrate import revision_of, versions

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "zone-fb6c2ed.tar.xz"
EARLIER = os.environ.get("DRAGOMAN_EARLIER")
"""A commit to build and to make the zone with; none: the golden folder."""


def today(tmp_path: Path) -> list[str]:
    """This commit's command."""
    return command(ROOT / "src", tmp_path / "today")


def command(source: Path, script: Path) -> list[str]:
    """A command whose processes all load the package from `source`."""
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -P -c "from dragoman.verb import main; main()" "$@"\n'
    )
    script.chmod(0o755)
    return [str(script)]


def built(commit: str, folder: Path) -> list[str]:
    """The command of another commit, built here."""
    tree = folder / "earlier"
    subprocess.run(["git", "worktree", "add", "--detach", str(tree), commit], cwd=ROOT, check=True)
    maturin = Path(sys.executable).with_name("maturin")
    environment = {**os.environ, "VIRTUAL_ENV": str(Path(sys.executable).parent.parent)}
    subprocess.run([maturin, "develop", "--skip-install"], cwd=tree, check=True, env=environment)
    return command(tree / "src", folder / "yesterday")


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[tuple[dict[str, Any], list[str] | None]]:
    """Data of an earlier commit below `tmp_path`; its facts, and that commit's command where it was built."""
    if EARLIER is None:
        yield unpack(GOLDEN, tmp_path), None
        return
    try:
        yesterday = built(EARLIER, tmp_path)
        yield make(yesterday, tmp_path), yesterday
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tmp_path / "earlier"], cwd=ROOT, check=False)


def test_nothing_is_lost_and_there_is_no_way_back(
    tmp_path: Path, earlier: tuple[dict[str, Any], list[str] | None]
) -> None:
    facts, yesterday = earlier
    data = tmp_path / "data"
    schema = revision_of(data / "zone.db")
    assert schema in versions()
    file, url = write_config(tmp_path)
    child = serve(today(tmp_path), file, tmp_path / "serve.log")
    try:
        _answers_as_before(url, facts)
        listed = {
            row["slug"]: row["state"] for row in verb(today(tmp_path), file, "tenants", "list")["tenants"]
        }
        assert listed == {"default": "active", "acme": "suspended"}
    finally:
        child.terminate()
        assert child.wait(60) == 0
    _migrated(data, schema)
    _grew(data, facts)
    if yesterday is not None and schema != versions()[-1]:
        _refused(yesterday, file)
    with closing(sqlite3.connect(data / "zone.db")) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.commit()
    _refused(today(tmp_path), file)


def _answers_as_before(url: str, facts: dict[str, Any]) -> None:
    """Old keys work or are refused as they were; an old statement of reasons reads the same."""
    assert ask(url, facts["key"], "How long may I return an item?").status_code == 200
    assert ask(url, facts["revoked"], "hello").status_code == 401
    assert ask(url, facts["suspended"], "hello").status_code == 403
    headers = {"authorization": f"Bearer {facts['key']}"}
    read = httpx.get(f"{url}/v1/interventions/{facts['intervention']}", headers=headers, timeout=60)
    assert read.status_code == 200
    assert {name: read.json()[name] for name in facts["statement"]} == facts["statement"]
    fresh = ask(url, facts["key"], "a forbidden phrase").json()["dragoman"]["interventions"]
    assert [one["id"] != facts["intervention"] for one in fresh] == [True]


def _migrated(data: Path, schema: str | None) -> None:
    """The database is of today's schema, and a copy of yesterday's lies beside it."""
    assert revision_of(data / "zone.db") == versions()[-1]
    copies = sorted((data / "backups").glob(f"zone-{schema}-*.db"))
    assert len(copies) == (schema != versions()[-1])
    for copy in copies:
        assert revision_of(copy) == schema


def _grew(data: Path, facts: dict[str, Any]) -> None:
    """The record holds under the key noted then, and each log extends the tree of then."""
    verdict = verify_zone(data, facts["registry_key"])
    assert verdict.sound, verdict.findings
    now = {log["log"]: log for log in verdict.logs}
    for then in facts["logs"]:
        log = now[then["log"]]
        assert log["proven"] > then["proven"]
        old, new = (then["proven"], bytes.fromhex(then["root"])), (log["proven"], bytes.fromhex(log["root"]))
        hashes = _native.ledger_prove_consistency(find_log(data, then["log"]), old[0], new[0])
        assert _native.ledger_check_consistency(*old, *new, hashes)
        assert not _native.ledger_check_consistency(old[0], bytes(32), *new, hashes)


def _refused(command: list[str], file: Path) -> None:
    """A version older than the data does not start, and says what to do."""
    done = subprocess.run(
        [*command, "serve", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(),
    )
    assert done.returncode == 1
    assert "written by a newer version" in done.stderr
    assert "upgrade, or restore a backup" in done.stderr
