"""`dragoman packs refresh`: what a list may hold, what is shown, and that only an approved change is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from dragoman.core.facts import Facts
from dragoman.decide.cli import app
from dragoman.decide.engine import decide
from dragoman.decide.iso3166 import country, subdivision, subdivisions
from dragoman.decide.packs import baseline_document, load_packs
from dragoman.decide.place_list import MAX_LIST_BYTES, read_list
from dragoman.decide.schema import PackError
from dragoman.decide.world import World

PACK = "openai-api"
DAY = "2026-11-20"
LIST = "# Regions\n\n- Norway\n- Bosnia and Herzegovina\n- Côte d\u2019Ivoire\n- SG\n- MP Northern Mariana Islands\n"
WANTED = ("BA", "CI", "MP", "NO", "SG")


def refresh(tmp_path: Path, text: str = LIST, *words: str, pack: str = PACK, day: str | None = DAY) -> Result:
    (tmp_path / "list.txt").write_text(text, "utf-8")
    dated = ["--snapshot-date", day] if day else []
    asked = [
        "packs",
        "refresh",
        pack,
        "--from",
        str(tmp_path / "list.txt"),
        "--packs-dir",
        str(tmp_path / "packs"),
    ]
    return CliRunner().invoke(app, [*asked, *dated, *words])


def test_a_list_of_names_and_codes_is_read() -> None:
    assert read_list(LIST.encode(), {}).places == WANTED
    assert read_list(b"NO\nSG\n", {}).places == ("NO", "SG")
    assert read_list(b'["NO", "SG"]', {}).form == "json"
    assert read_list(b"Norwegia\n", {"Norwegia": "NO"}).places == ("NO",)
    told = read_list(
        b'territory_allow = ["NO"]\nunsure = ["VA"]\nsubdivision_exclude = ["UA-43"]\nsnapshot_date = "2026-01-02"',
        {},
    )
    assert (told.open_codes, told.subdivisions, told.complete) == (("VA",), ("UA-43",), False)
    assert told.snapshot == date(2026, 1, 2)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("Phillipines", "the nearest is PH (Philippines)"),
        ("UK", "write GB"),
        ("uk", "write GB"),
        ("no", "codes are capitals; write NO (Norway)"),
        ("MI", "is no ISO 3166-1 code"),
        ("MI Northern Mariana Islands", "the code of Northern Mariana Islands is MP"),
        ("Norway", '"Norway" is NO, which "NO" is already'),
    ],
)
def test_an_alias_or_a_wrong_code_is_refused_with_the_nearest(line: str, says: str) -> None:
    with pytest.raises(PackError) as error:
        read_list(f"NO\n{line}\n".encode(), {})
    assert says in str(error.value)


def test_what_is_no_list_is_refused() -> None:
    for raw in (
        b"",
        b"<html><li>Norway</li></html>",
        b"\xff\xfe",
        b"NO\n" * MAX_LIST_BYTES,
        b'{"teritory": []}',
    ):
        with pytest.raises(PackError):
            read_list(raw, {})
    with pytest.raises(PackError, match="UA-99"):
        read_list(b'territory_allow = ["NO"]\nsubdivision_exclude = ["UA-99"]', {})


def test_parts_of_countries_are_those_of_iso_3166_2() -> None:
    assert {"US-CA", "US-NY", "UA-43", "UA-40", "UA-14", "UA-09", "CN-BJ"} <= subdivisions()
    for wrong in ("US-XX", "us-ca", "UA-99", "CN-11x"):
        with pytest.raises(ValueError, match="no ISO 3166-2 code"):
            subdivision(wrong)
    assert country("Türkiye") == "TR"


def test_nothing_is_written_until_its_digest_is_approved(tmp_path: Path) -> None:
    shown = refresh(tmp_path, LIST, "--json")
    change = json.loads(shown.output)
    assert (change["written"], change["added"]) == (False, ["MP"])
    assert "DE" in change["removed"]
    assert not (tmp_path / "packs").exists()
    wrong = refresh(tmp_path, LIST, "--approve", "sha256:0")
    assert (wrong.exit_code, "names another change" in wrong.output) == (2, True)
    other = refresh(tmp_path, LIST + "- Japan\n", "--approve", change["digest"])
    assert other.exit_code == 2
    assert not (tmp_path / "packs").exists()
    done = refresh(tmp_path, LIST, "--approve", change["digest"])
    assert done.exit_code == 0, done.output
    provider = load_packs(tmp_path / "packs").providers()[PACK]
    assert provider.territory_allow == frozenset(WANTED)
    assert (provider.snapshot_date, provider.complete) == (date(2026, 11, 20), True)
    assert provider.cites["territory"].article == f"list of {DAY}"
    text = (tmp_path / "packs/providers" / f"{PACK}.toml").read_text("utf-8")
    assert "list_sha256" in text
    assert "Albania to Fiji" not in text, "what is said of the former list goes with it"
    again = json.loads(refresh(tmp_path, LIST, "--json").output)
    assert (again["added"], again["removed"]) == ([], [])


def test_a_list_is_not_taken_from_the_past_or_the_future(tmp_path: Path) -> None:
    for day, says in (
        ("2026-09-12", "before the loaded one"),
        ("2126-01-01", "lies ahead"),
        (None, "needs the day"),
    ):
        refused = refresh(tmp_path, LIST, day=day)
        assert (refused.exit_code, says in refused.output) == (2, True), refused.output


def test_a_pack_without_list_needs_its_basis(tmp_path: Path) -> None:
    words = ("--url", "https://provider.example/regions")
    refused = refresh(tmp_path, LIST, *words, pack="deepseek-api")
    assert "--basis" in refused.output
    wrong = refresh(tmp_path, LIST, *words, "--basis", "acess", pack="deepseek-api")
    assert wrong.exit_code == 2
    asked = (*words, "--basis", "access_location,offered_to")
    digest = json.loads(refresh(tmp_path, LIST, *asked, "--json", pack="deepseek-api").output)["digest"]
    assert refresh(tmp_path, LIST, *asked, "--approve", digest, pack="deepseek-api").exit_code == 0
    provider = load_packs(tmp_path / "packs").providers()["deepseek-api"]
    assert provider.basis == {"access_location", "offered_to"}
    assert provider.cites["territory"].url == "https://provider.example/regions"
    nobody = refresh(tmp_path, LIST, pack="openai-apl")
    assert 'did you mean "openai-api"' in nobody.output
    assert refresh(tmp_path, LIST, pack="cn").exit_code == 2


@pytest.mark.parametrize(("age", "outcome", "warns"), [
    (30, "ALLOW", False), (31, "ALLOW", True), (90, "ALLOW", True), (91, "NOT_READY", False)])  # fmt: skip
def test_a_written_list_ages(age: int, outcome: str, warns: bool, tmp_path: Path) -> None:
    digest = json.loads(refresh(tmp_path, LIST, "--json").output)["digest"]
    refresh(tmp_path, LIST, "--approve", digest)
    packs = load_packs(tmp_path / "packs")
    world = World.of("local", {PACK: World.from_packs(packs).models[PACK]})
    document = {**baseline_document(), "event": "signup", "list_age_days": {}, "model": PACK}
    facts = Facts.parse({**document, "as_of": date(2026, 11, 20) + timedelta(days=age)})
    decision = decide(facts, packs, world)
    assert decision.outcome == outcome
    assert ("LIST_STALE" in {one.code for one in decision.warnings}) is warns


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/list.md": 200, "/huge": 200, "/moved": 302}.get(self.path, 404)
        body = b"NO\n" * MAX_LIST_BYTES if self.path == "/huge" else LIST.encode()
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/list.md")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Pages)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_list_comes_from_an_address(page: str, tmp_path: Path) -> None:
    def ask(address: str) -> Result:
        words = [
            "packs",
            "refresh",
            PACK,
            "--from",
            address,
            "--packs-dir",
            str(tmp_path / "packs"),
            "--json",
        ]
        return CliRunner().invoke(app, words)

    assert json.loads(ask(f"{page}/list.md").output)["added"] == ["MP"]
    for path, says in (
        ("/moved", "redirects are not followed"),
        ("/none", "answered 404"),
        ("/huge", "larger than"),
    ):
        assert says in ask(page + path).output
    assert "only https" in ask("http://provider.example/list").output
