"""`dragoman zones check`: what zones share or disagree on is found, and two that keep apart are left alone."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dragoman.checks.results import SEVERITIES
from dragoman.control.loaded import Loaded
from dragoman.errors import ConfigError
from dragoman.ledger.texts import LANGUAGES
from dragoman.operations import zones
from dragoman.operations.cli import app
from dragoman.operations.zones import findings, read, transfer_rules
from dragoman.settings import load

WEST = """
[zone]
id = "west"
country = "DE"
transfers = ["FR", "US"]
data = "west"
listen = "127.0.0.1:8101"
admin_listen = "127.0.0.1:9101"
[zones.east]
address = "http://127.0.0.1:8111"
countries = ["SG", "JP"]
[providers.near]
base_url = "https://near.example/v1"
countries = ["DE"]
"""
EAST = """
[zone]
id = "east"
country = "SG"
data = "east"
listen = "127.0.0.1:8111"
admin_listen = "127.0.0.1:9111"
[zones.west]
address = "http://127.0.0.1:8101"
countries = ["DE", "FR"]
"""


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Packs and rules, read once; each case has settings of its own."""
    file = tmp_path_factory.mktemp("reading") / "dragoman.toml"
    file.write_text("")
    return read([file])[0].loaded


@pytest.fixture(autouse=True)
def once(reading: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs are not read anew for each case, which takes seconds."""
    monkeypatch.setattr(zones, "read_all", lambda file, *_, **__: replace(reading, settings=load(file)))


def codes(tmp_path: Path, west: str = WEST, east: str = EAST) -> list[str]:
    for name, text in (("west", west), ("east", east)):
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    given = read([tmp_path / "west.toml", tmp_path / "east.toml"])
    return [one.code for one in findings(given)]


def test_zones_that_keep_apart_have_no_finding(tmp_path: Path) -> None:
    assert codes(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('id = "east"', 'id = "west"', ["zone_unseen", "zone_twice"]),
        ('data = "east"', 'data = "west"', ["folder_shared"]),
        ('data = "east"', 'data = "west/journal/east"', ["folder_shared"]),
        ('data = "east"', 'data = "link"', ["folder_shared"]),
        ("[zones.west]", '[journal]\nfolder = "west/journal"\n[zones.west]', ["folder_shared"]),
        ('"127.0.0.1:8111"\n', '"127.0.0.1:9102"\n', ["address_twice", "address_wrong"]),
        ("127.0.0.1:8101", "127.0.0.1:8108", ["address_wrong"]),
        ('"DE", "FR"', '"DE", "SG"', ["country_twice"]),
        ('countries = ["DE", "FR"]', 'countries = ["DE", "JP"]', ["country_twice"]),
        ("[zones.west]", "[zones.north]", ["zone_unseen", "zone_unnamed"]),
        ('country = "SG"\n', "", ["country_unset"]),
    ],
)
def test_what_is_shared_or_disagrees_is_found(tmp_path: Path, old: str, new: str, found: list[str]) -> None:
    (tmp_path / "west").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "west")
    assert old in EAST
    got = codes(tmp_path, east=EAST.replace(old, new))
    assert [one for one in got if one not in {"folder_link", "country_kept"}] == found


def test_a_third_zone_may_not_keep_who_is_sent_elsewhere(tmp_path: Path) -> None:
    south = EAST.replace("east", "south").replace("81", "82").replace("91", "92").split("[zones.west]")[0]
    codes(tmp_path)
    (tmp_path / "south.toml").write_text(south, encoding="utf-8")
    got = findings(read([tmp_path / f"{name}.toml" for name in ("west", "east", "south")]))
    kept = [one.text["en"] for one in got if one.code == "country_kept"]
    assert any("Zone south keeps people of JP" in one for one in kept), kept
    assert {one.code for one in got} == {"zone_unnamed", "country_kept"}


def test_what_leaves_the_country_is_told_by_the_law_it_is_a_transfer_under(
    tmp_path: Path, reading: Loaded
) -> None:
    far = WEST.replace('countries = ["DE"]', 'countries = ["FR", "US"]')
    assert codes(tmp_path, far) == ["within_one_law", "transfer"]
    unknown = WEST.replace('countries = ["DE"]', "")
    assert codes(tmp_path, unknown) == ["place_unknown"]
    packs = reading.packs
    assert transfer_rules(packs, "DE", "FR") == []
    assert transfer_rules(packs, "DE", "US") == ["eu.gdpr.transfer"]
    assert transfer_rules(packs, "AQ", "US") is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'countries = ["DE"]',
            'countries = ["SG"]',
            r"providers\.near\.countries: SG is outside zone\.country DE",
        ),
        (
            "[providers.near]",
            '[sms]\nurl = "https://sms.example/x"\ncountry = "CN"\n[providers.near]',
            r"sms\.country: CN",
        ),
        ('transfers = ["FR", "US"]', 'transfers = ["fr"]', "not fr"),
        ('countries = ["SG", "JP"]', 'countries = ["sg"]', "not sg"),
    ],
)
def test_a_way_abroad_that_the_zone_does_not_permit_does_not_load(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text(WEST.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as fault:
        load(file)
    assert re.search(said, "\n".join(fault.value.problems)), fault.value.problems


def test_strange_files_links_and_tables_are_named(tmp_path: Path) -> None:
    data = tmp_path / "west"
    data.mkdir()
    (data / "people.csv").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (data / "backups").symlink_to(tmp_path / "elsewhere")
    got = codes(tmp_path)
    assert got == ["folder_link", "file_undeclared"]


def test_the_verb_prints_a_table_or_json_and_exits_with_one_on_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes(tmp_path)
    files = [str(tmp_path / "west.toml"), str(tmp_path / "east.toml")]
    monkeypatch.setenv("LC_ALL", "C")
    done = CliRunner().invoke(app, ["zones", "check", *files])
    assert done.exit_code == 0, done.output
    assert "Zone west, country DE" in done.stdout
    assert "\nconversation  zone.db: claims, conversations, turns" in done.stdout
    assert done.stdout.endswith("Nothing is shared, and nothing disagrees.\n")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    done = CliRunner().invoke(app, ["zones", "check", *files])
    assert "west 区，国家 DE" in done.stdout
    told = json.loads(CliRunner().invoke(app, ["zones", "check", "--json", *files]).stdout)
    assert [one["zone"] for one in told["zones"]] == ["west", "east"]
    assert told["findings"] == []
    assert told["classes"]["crash"]["kept"] == "never"
    (tmp_path / "east.toml").write_text(EAST.replace('data = "east"', 'data = "west"'), encoding="utf-8")
    done = CliRunner().invoke(app, ["zones", "check", *files])
    assert done.exit_code == 1
    assert "folder_shared" in done.stdout
    (tmp_path / "east.toml").write_text("[zone]\nid = 3\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["zones", "check", *files])
    assert (done.exit_code, done.stdout) == (1, "")


def test_every_finding_is_said_in_both_languages_and_in_the_docs() -> None:
    docs = (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8")
    for code, row in zones._known().items():
        assert set(row) == {"severity", "fix", *LANGUAGES}, code
        assert row["severity"] in SEVERITIES, code
        assert f"| `{code}` | {row['severity']} |" in docs, code


def test_temporary_files_go_to_the_zone_and_a_crash_leaves_no_dump(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, sqlite3, subprocess, sys, tempfile
from dragoman.control.own_temp import keep_temp
from dragoman.crash import leave_no_dump
data = pathlib.Path({str(tmp_path)!r})
(data / "temp").mkdir(); (data / "temp" / "left").touch()
folder = keep_temp(data, empty=True)
assert list(folder.iterdir()) == []
with tempfile.NamedTemporaryFile() as one:
    assert pathlib.Path(one.name).parent == folder
raw = sqlite3.connect(":memory:")
raw.execute("PRAGMA temp_store = 1"); raw.execute("PRAGMA temp.cache_size = 1")
raw.execute("CREATE TEMP TABLE t (x)")
raw.executemany("INSERT INTO t VALUES (?)", [(os.urandom(4096),)] * 500)
fds = [f"/proc/self/fd/{{fd}}" for fd in os.listdir("/proc/self/fd")]
opened = [os.readlink(fd) for fd in fds if os.path.lexists(fd)]
assert any(name.startswith(str(folder)) for name in opened), opened
child = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]
assert subprocess.run(child, capture_output=True, text=True).stdout.strip() == str(folder)
if sys.argv[1] == "closed":
    leave_no_dump()
os.chdir(data)
os.abort()
"""

    def dumps(mode: str) -> int:
        """How many core dumps a crash leaves; the hard limit permits them."""
        place = tmp_path / mode
        place.mkdir()
        subprocess.run(
            [sys.executable, "-c", program.replace(str(tmp_path), str(place)), mode],
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30)),
            env={**os.environ, "PYTHONFAULTHANDLER": ""},
        )
        return len(list(place.glob("core*")))

    assert dumps("closed") == 0
    if not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/")):
        assert dumps("open") == 1, "the trial itself shows nothing"
