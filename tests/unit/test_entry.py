"""The page `/start`: who serves whom and by which rule, and that it keeps nothing of whoever asks."""

from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dragoman.control.bounded import HEAD_SECONDS
from dragoman.control.entry import Asked, parts_of, served
from dragoman.control.entry_run import entry_app
from dragoman.control.loaded import deployment_facts, zones_of
from dragoman.core.decision import Reason
from dragoman.decide.iso3166 import countries
from dragoman.decide.packs import PackSet, load_packs
from dragoman.decide.world import World
from dragoman.errors import ConfigError
from dragoman.knowledge.engine import Knowledge
from dragoman.settings import Settings, load
from dragoman.testing.ports import free_port
from dragoman.web.answer import Refusal, source_of
from dragoman.web.context import PagesContext
from dragoman.web.entry import Entry, Served, choices
from dragoman.web.pages import pages
from dragoman.web.placement import country_named
from dragoman.web.texts import TEXTS
from dragoman.web.turn import TurnClient
from dragoman.web.view import View

ZONES = """
[deployment]
name = "Lamps"
[zone]
id = "sg"
public_url = "https://sg.lamps.example"
[zones.eu]
address = "https://eu.lamps.example"
countries = ["DE", "FR"]
[zones.ru]
address = "https://ru.lamps.example"
countries = ["RU"]
[zones.us]
address = "https://us.lamps.example"
countries = ["US"]
"""
NOW = int(dt.datetime(2026, 11, 27, tzinfo=dt.UTC).timestamp() * 1000)
HERE = '{"country": "DE", "kind": "residential", "peer": "remote"}'


@pytest.fixture(scope="module")
def packs() -> PackSet:
    return load_packs(None)


def asked(packs: PackSet, text: str = ZONES, *, is_zone: bool = True) -> Asked:
    settings = load(None, text)
    facts = deployment_facts(settings.deployment)
    return Asked(settings, packs, World.of(settings.zone.id, {}, zones_of(settings), facts), is_zone)


def rules(found: Served) -> list[str]:
    return [rule for _, rule, _ in found.reasons]


def test_each_residence_has_its_zone_with_rule_and_source(packs: PackSet) -> None:
    it = asked(packs)
    away = served(it, "RU", None, NOW)
    assert (away.outcome, away.zone, away.address) == ("elsewhere", "ru", "https://ru.lamps.example")
    assert away.reasons[0][1:] == ("zone.ru", ("[zones.ru] countries", "", None))
    law = {rule: source for _, rule, source in away.laws}
    assert set(law) == {"ru.localisation", "ru.collection", "ru.transfer"}
    assert law["ru.localisation"] == ("Federal Law 152-FZ on personal data", "18(5)", None)
    here = served(it, "SG", None, NOW)
    assert (here.outcome, here.zone, here.address) == ("here", "sg", "https://sg.lamps.example")
    assert rules(here) == ["zone.sg"]
    assert [rule for _, rule, _ in here.laws] == ["sg.pdpa.transfer"]


def test_whom_the_law_keeps_out_is_told_by_rule_and_source(packs: PackSet) -> None:
    found = served(asked(packs), "CN", None, NOW)
    assert (found.outcome, found.zone, found.address) == ("refused", None, None)
    assert {"cn.gate.filing", "cn.gate.registration"} <= set(rules(found))
    assert all(source for _, rule, source in found.reasons if rule.startswith("cn."))
    # Assigned to another zone, which has evidence of its own, that is not for this one to say.
    text = f'{ZONES}\n[zones.cn]\naddress = "https://cn.lamps.example"\ncountries = ["CN"]\n'
    assert served(asked(packs, text), "CN", None, NOW).outcome == "elsewhere"


def test_outside_all_zones_nobody_is_served_who_is_assigned_to_none(packs: PackSet) -> None:
    outside = asked(packs, is_zone=False)
    none = served(outside, "SG", None, NOW)
    assert (none.outcome, none.zone, none.address, rules(none)) == ("nowhere", None, None, ["zones"])
    own = ZONES.replace(
        "[zones.eu]", '[zones.sg]\naddress = "https://x.example"\ncountries = ["SG"]\n[zones.eu]'
    )
    assert served(asked(packs, own, is_zone=False), "SG", None, NOW).address == "https://x.example"
    assert served(asked(packs, own), "SG", None, NOW).address == "https://sg.lamps.example", "its own address"


def test_law_that_is_not_in_force_is_no_reason(packs: PackSet) -> None:
    before = int(dt.datetime(2025, 6, 1, tzinfo=dt.UTC).timestamp() * 1000)
    found = {rule for _, rule, _ in served(asked(packs), "RU", None, before).laws}
    assert found == {"ru.localisation"}


def test_a_part_of_a_country_counts_with_its_own_law(packs: PackSet) -> None:
    text = ZONES.replace('countries = ["US"]', "countries = []")
    there = set(rules(served(asked(packs, text), "US", "US-CA", NOW)))
    assert any(rule.startswith("us-ca.") for rule in there)
    elsewhere = set(rules(served(asked(packs, text), "US", "US-HI", NOW)))
    assert not any(rule.startswith("us-ca.") for rule in elsewhere)


def test_every_country_and_every_part_with_a_pack_can_be_chosen(packs: PackSet) -> None:
    parts = parts_of(packs)
    for language in ("en", "zh"):
        offered = choices(language, tuple(sorted(parts)))
        assert {code for code, _, _ in offered} == countries()
        assert {one for _, _, own in offered for one in own} == set(packs.by_subdivision)
        assert all(country_named(code, language) != code for code in countries()), "each has a name"
    names = [name for _, name, _ in choices("zh", ())]
    assert names.index(country_named("DE", "zh")) < names.index(country_named("FR", "zh")), "as they sound"


@pytest.fixture(scope="module")
def site(packs: PackSet, tmp_path_factory: pytest.TempPathFactory) -> Starlette:
    folder = tmp_path_factory.mktemp("entry")
    it, parts = asked(packs), parts_of(packs)
    context = PagesContext(
        Knowledge(folder / "knowledge"), TurnClient(folder / "turn.sock"), lambda _: None, str, lambda _: None
    )
    entry = Entry(lambda country, part: served(it, country, part, NOW), lambda: parts)
    return Starlette(routes=pages(replace(context, entry=entry)))


@pytest.fixture
def client(site: Starlette) -> Iterator[TestClient]:
    with TestClient(site, headers={"accept": "text/html"}) as made:
        yield made


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_asks_for_the_residence_alone(client: TestClient, language: str) -> None:
    page = client.get(f"/start?lang={language}", headers={"dragoman-address": HERE})
    assert page.status_code == 200
    assert "set-cookie" not in page.headers
    assert page.headers["cache-control"] == "no-store"
    assert page.text.count("<select") == 1
    assert "<input" not in page.text
    assert "<script" not in page.text
    assert " selected" not in page.text, "an address chooses nothing"
    assert TEXTS[language]["start_guess"] in page.text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_answer_links_to_the_zone_with_the_residence_alone(client: TestClient, language: str) -> None:
    page = client.post(
        f"/start?lang={language}", data={"residence": "US-CA", "name": "Eve", "phone": "+4915"}
    )
    assert page.status_code == 200
    assert "set-cookie" not in page.headers
    assert 'class="go" href="https://us.lamps.example/?residence=US-CA"' in page.text
    assert "Eve" not in page.text
    assert "zone.us" in page.text
    assert "us.transfer.bulk" in page.text
    named = TEXTS[language]["start_elsewhere"].split("{named}")[0]
    assert named in page.text


@pytest.mark.parametrize("wrong", ["", "XX", "us", "US-ZZ", "DE<b>", "Germany", "D" * 90])
def test_what_the_form_does_not_offer_is_asked_again(client: TestClient, wrong: str) -> None:
    page = client.post("/start?lang=en", data={"residence": wrong})
    assert page.status_code == 400
    assert TEXTS["en"]["start_wrong"] in page.text
    assert "<b>" not in page.text


def test_a_form_that_is_too_large_is_not_read(client: TestClient) -> None:
    page = client.post("/start", content=b"residence=" + b"D" * 5_000)
    assert page.status_code == 413
    assert 'class="go"' not in page.text


def test_the_zone_checks_what_the_link_says(client: TestClient) -> None:
    t = TEXTS["en"]
    state = '<button name="residence" value="SG">'
    here = client.get("/?lang=en&residence=SG").text
    assert t["arrived"].format(named="Singapore (SG)") in here
    assert state in here
    away = client.get("/?lang=en&residence=DE").text
    assert t["arrived_elsewhere"].format(named="Germany (DE)") in away
    assert 'href="/start"' in away
    assert state.replace("SG", "DE") not in away
    assert t["arrived_refused"].format(named="China (CN)") in client.get("/?lang=en&residence=CN").text
    for wrong in ("XX", "sg", '"><script>'):
        assert 'class="arrived"' not in client.get("/", params={"residence": wrong}).text


def test_a_refusal_that_names_a_zone_links_to_the_page(packs: PackSet) -> None:
    def shown(rule: str) -> str:
        reason = Reason("X", rule, {"en": "t", "zh": "t"}, None, "route", None, {"en": "t", "zh": "t"})
        box = Refusal(
            "dec_sg_1", "ROUTE", ((reason.title, rule, source_of(None, "source")),), (reason.title,), ()
        )
        template = View("Lamps", (), secure=False)._templates.get_template("interventions.html")
        values = {
            "refusal": box,
            "interventions": (),
            "states": False,
            "turn": None,
            "keeps": False,
            "body": "",
        }
        return template.render(t=TEXTS["en"], language="en", **values)

    assert 'href="/start"' in shown("zone.eu")
    assert 'href="/start"' not in shown("eu.gdpr.child")


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DRAGOMAN_")}


@contextmanager
def alone(folder: Path) -> Iterator[tuple[httpx.Client, Path]]:
    """`dragoman entry` on a free port with its folder as the working one; all it says goes to a file."""
    (folder / "dragoman.toml").write_text(ZONES, encoding="utf-8")
    port, said = free_port(), folder.parent / f"{folder.name}.log"
    command = [sys.executable, "-m", "dragoman.cli", "entry", "--listen", f"127.0.0.1:{port}"]
    with said.open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment())
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                until = time.monotonic() + 60
                while b"answers at" not in said.read_bytes():
                    assert child.poll() is None, said.read_text()
                    assert time.monotonic() < until
                    time.sleep(0.05)
                _until_open(client, until)
                yield client, said
        finally:
            child.terminate()
            assert child.wait(30) is not None


def _until_open(client: httpx.Client, until: float) -> None:
    while True:
        try:
            client.get("/static/icon.svg")
        except httpx.TransportError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def test_alone_it_makes_no_folder_and_writes_nothing_of_its_readers(tmp_path: Path) -> None:
    folder = tmp_path / "outside"
    folder.mkdir()
    seen = {
        "x-forwarded-for": "203.0.113.77",
        "accept-language": "zh-CN,zh;q=0.9",
        "user-agent": "canary-agent",
    }
    with alone(folder) as (client, said):
        page = client.get("/start", headers=seen)
        assert TEXTS["zh"]["start_title"] in page.text
        answer = client.post(
            "/start", data={"residence": "DE"}, headers={**seen, "cookie": "dragoman_lang=en"}
        )
        assert 'href="https://eu.lamps.example/?residence=DE"' in answer.text
        assert TEXTS["zh"]["start_why"] in answer.text
        assert client.post("/start", data={"residence": "SG"}).text.count('class="go"') == 0
        for address in ("/v1/models", "/c/cnv_sg_1", "/healthz", "/static/../view.py"):
            assert client.get(address).status_code == 404
        assert client.get("/", follow_redirects=False).headers["location"] == "/start"
        style = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
        assert client.get(style).status_code == 200
        for got in (page, answer):
            assert "set-cookie" not in got.headers
    assert [path.name for path in folder.rglob("*")] == ["dragoman.toml"]
    written = said.read_text()
    assert written.splitlines() == [written.strip()], "one line: where it answers"
    for canary in ("203.0.113.77", "canary-agent", "residence", "DE"):
        assert canary not in written


def test_a_page_that_could_send_nobody_anywhere_does_not_start(packs: PackSet) -> None:
    with pytest.raises(ConfigError, match="countries"):
        entry_app(Settings(), packs)
    assert entry_app(load(None, ZONES), packs).routes


def test_silence_does_not_keep_the_page_from_anybody(tmp_path: Path) -> None:
    """A connection that says nothing, or never ends its head, is closed in time; who asks is answered."""
    folder = tmp_path / "here"
    folder.mkdir()
    with alone(folder) as (client, _), ExitStack() as held:
        address = (client.base_url.host, client.base_url.port or 80)
        silent = [held.enter_context(socket.create_connection(address)) for _ in range(8)]
        silent[-1].sendall(b"GET /start HTTP/1.1\r\nhost: x\r\n")
        assert client.get("/start").status_code == 200
        for one in silent:
            one.settimeout(HEAD_SECONDS * 3)
            with suppress(ConnectionResetError):
                assert one.recv(1) == b""
        assert client.get("/start").status_code == 200


@pytest.mark.parametrize("listen", ["8088", "host:", "127.0.0.1:99999"])
def test_a_wrong_address_to_listen_on_is_wrong_use(tmp_path: Path, listen: str) -> None:
    command = [sys.executable, "-m", "dragoman.control.entry_run", "--listen", listen]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment()
    )
    assert done.returncode == 2
    assert "host:port" in done.stderr
