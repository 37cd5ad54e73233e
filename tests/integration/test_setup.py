"""The setup pages over their real port: the list, who may see and change what, and files that changed meanwhile."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from html import escape
from pathlib import Path
from typing import Any

import pytest

from dragoman.admin.setup_forms import FORMS
from dragoman.checks.checklist import LINES
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.testing.ports import free_port
from dragoman.testing.provider import JSON, FakeProvider, Script, whole
from dragoman.testing.visitor import Answer, Visitor

CONFIG = """# The shop's own file.
[zone]
data = "d"                           # beside this file
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder: Path = tmp_path_factory.mktemp("s")
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


@pytest.fixture(scope="module")
def operator(control: Control) -> Visitor:
    return came_in(control)


def came_in(control: Control, role: str = OPERATOR) -> Visitor:
    assert control.admin is not None
    visitor = Visitor(int(control.admin.origin.rpartition(":")[2]))
    assert visitor.enrol(f"x#{control.core.people.invite('cli', role, None, None).text}").status == 200
    return visitor


def test_the_list_is_a_page_and_a_document(control: Control) -> None:
    auditor = came_in(control, AUDITOR)
    told = auditor.ask("GET", "/admin/v1/setup").json()["lines"]
    assert [line["name"] for line in told] == [name for name, _ in LINES]
    public = next(line for line in told if line["name"] == "public")
    assert "admin_there" not in {one["code"] for one in public["items"]}, "an auditor is no operator"
    came_in(control)
    told = auditor.ask("GET", "/admin/v1/setup").json()["lines"]
    public = next(line for line in told if line["name"] == "public")
    assert "admin_there" in {one["code"] for one in public["items"]}
    page = auditor.page("/setup?lang=zh")
    assert page.status == 200
    assert "对外公开" in page.body
    cited = [one["source"]["source"] for line in told for one in line["items"] if one["source"]]
    assert cited
    assert all(escape(one) in page.body for one in cited)


# --- changes of the file ----------------------------------------------------------------------------------


@pytest.fixture
def file(control: Control) -> Iterator[Path]:
    """The file, put back as it was."""
    path = control.settings.zone.data.parent / "dragoman.toml"
    before = path.read_text(encoding="utf-8")
    yield path
    path.write_text(before, encoding="utf-8")
    control.reloader.reload()


def acts(control: Control) -> list[dict[str, Any]]:
    control.core.database.write(lambda _: None)  # what was begun before is durable by then
    with sqlite3.connect(control.settings.zone.data / "zone.db") as raw:
        return [json.loads(row[0]) for row in raw.execute("SELECT entry FROM outbox ORDER BY item")]


def make_stale(control: Control) -> None:
    change = "UPDATE admin_sessions SET fresh_at = fresh_at - 360000"
    control.core.database.write(lambda c: c.exec_driver_sql(change))


def shown(visitor: Visitor, form: str, **fields: str) -> str:
    """Fill in a form; the address of the difference."""
    visitor.page(f"/setup/{form}")
    answer = visitor.form(f"/setup/{form}", **fields)
    assert answer.status == 303, answer.body
    return answer.headers["location"]


ORGANISATION = {"name": "Dragoman", "seat": "SG", "owners": "SG 60\nDE 40", "roles": "ai_deployer"}


def test_a_form_shows_the_difference_and_only_then_writes_it(control: Control, file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    visitor = came_in(control)
    place = shown(visitor, "organisation", **ORGANISATION)
    assert file.read_text(encoding="utf-8") == before, "the difference writes nothing"
    page = visitor.page(place)
    assert "+seat = &#34;SG&#34;" in page.body
    assert "within a second" in page.body
    assert visitor.form(place).headers["location"] == place
    assert file.read_text(encoding="utf-8") == (
        before + '\n[deployment]\nseat = "SG"\n'
        'owners = [{country = "SG", percent = 60}, {country = "DE", percent = 40}]\nroles = ["ai_deployer"]\n'
    )
    assert "The running server has taken it up." in visitor.page(place).body
    assert control.core.holder.loaded.settings.deployment.seat == "SG"
    entry = next(one for one in acts(control) if one.get("act") == "config.write")
    assert entry["keys"] == ["deployment.seat", "deployment.owners", "deployment.roles"]
    assert entry["by"].startswith("adm_")
    assert "SG" not in json.dumps(entry), "the record names keys and digests, no values"
    assert visitor.form(place).status == 303, "twice is once"
    assert sum(one.get("act") == "config.write" for one in acts(control)) == 1
    again = visitor.form("/setup/organisation", **ORGANISATION)
    assert (again.status, "There is nothing to change" in again.body) == (400, True)


def test_a_file_that_was_changed_meanwhile_is_shown_anew(control: Control, file: Path) -> None:
    visitor = came_in(control)
    place = shown(visitor, "organisation", **{**ORGANISATION, "seat": "DE"})
    theirs = file.read_text(encoding="utf-8") + "\n# theirs\n[label]\nalways = true\n"
    file.write_text(theirs, encoding="utf-8")
    answer = visitor.form(place)
    anew = answer.headers["location"]
    assert anew != place
    assert file.read_text(encoding="utf-8") == theirs, "nothing is written over"
    page = visitor.page(anew)
    assert "The file was changed meanwhile" in page.body
    assert acts(control)[-1]["act"] == "config.kept"
    assert visitor.form(anew).headers["location"] == anew
    assert "# theirs" in file.read_text(encoding="utf-8")
    assert control.core.holder.loaded.settings.deployment.seat == "DE"


def test_what_needs_a_restart_is_told_and_the_zone_goes_on(control: Control, file: Path) -> None:
    visitor = came_in(control)
    port = free_port()
    place = shown(visitor, "public", stage="local", proxy_protocol="no", listen=f"127.0.0.1:{port}")
    body = visitor.page(place).body
    assert "<code>zone.listen</code>" in body
    assert "Until then nothing else of the file is taken up either." in body
    visitor.form(place)
    assert "goes on as before" in visitor.page(place).body
    assert f"127.0.0.1:{port}" in file.read_text(encoding="utf-8")
    assert str(port) not in control.core.holder.loaded.settings.zone.listen
    assert f"127.0.0.1:{port}" in visitor.page("/setup/public").body, "forms show the file"
    assert "wait for a restart" in visitor.page("/setup").body
    told = visitor.ask("GET", "/admin/v1/setup").json()
    assert (told["waiting"], told["faults"]) == (["zone.listen"], [])
    file.write_text("[zone\n", encoding="utf-8")
    told = visitor.ask("GET", "/admin/v1/setup").json()
    assert (told["waiting"], len(told["faults"])) == ([], 1)
    assert "not valid TOML" in visitor.page("/setup").body
    assert "not valid TOML" in visitor.page("/setup/public").body


def test_a_proof_is_asked_for_and_nothing_is_lost_by_it(control: Control, file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    visitor = came_in(control)
    make_stale(control)
    place = shown(visitor, "organisation", **ORGANISATION)
    page = visitor.page(place)
    assert f"/confirm?next={place}" in page.body
    refused = visitor.form(place)
    assert (refused.status, refused.code) == (403, "confirm_first")
    assert file.read_text(encoding="utf-8") == before
    assert f'data-next="{place}"' in visitor.page(f"/confirm?next={place}").body
    assert visitor.prove("/confirm").status == 200
    visitor.page(place)
    assert visitor.form(place).status == 303
    assert 'seat = "SG"' in file.read_text(encoding="utf-8")


def test_an_auditor_a_stranger_a_token_and_another_person_write_nothing(control: Control, file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    operator = came_in(control)
    place = shown(operator, "organisation", **ORGANISATION)
    change = place.rpartition("/")[2]
    auditor = came_in(control, AUDITOR)
    for form in FORMS:
        page = auditor.page(f"/setup/{form}")
        assert page.status == 200
        assert "disabled" in page.body
        assert "Show the difference" not in page.body
        assert (auditor.form(f"/setup/{form}").status, auditor.form(f"/setup/{form}").code) == (
            403,
            "wrong_role",
        )
    assert auditor.page(place).status == 404, "a change is its own person's"
    assert auditor.form(place).code == "wrong_role"
    other = came_in(control)
    assert (other.form(place).status, other.page(place).status) == (404, 404)
    token = operator.post("/admin/v1/tokens", {"title": "t", "role": "operator"}).json()["text"]
    sent = {"authorization": f"Bearer {token}", "content_type": "application/json"}
    machine = Visitor(operator.port)
    made = machine.ask("POST", "/admin/v1/setup/organisation", json.dumps(ORGANISATION), **sent)
    assert made.status == 200, "a machine may ask what would change"
    body = json.dumps({"change": made.json()["change"]})
    assert machine.ask("POST", "/admin/v1/setup/changes/write", body, **sent).code == "person_only"
    assert operator.post(
        "/admin/v1/setup/changes/write", {"change": change}, origin="http://e.example"
    ).code == ("cross_origin")
    held, operator.csrf = operator.csrf, "0" * 43
    assert operator.form(place).code == "stale_form"
    assert file.read_text(encoding="utf-8") == before
    operator.csrf = held
    assert operator.form(place).status == 303, "the control"
    assert file.read_text(encoding="utf-8") != before


WRONG = [
    ("organisation", {"seat": "Germany"}, "seat", "Germany is no country code"),
    ("organisation", {"owners": "SG 60\nDE 41"}, "owners", "Together they own 101 %; at most 100."),
    ("organisation", {"owners": "SG"}, "owners", "SG: write a country and a whole percent"),
    ("organisation", {"name": "x" * 301}, "name", "At most 300 characters; these are 301."),
    ("organisation", {"audience": "<b>"}, "audience", "&lt;b&gt; is none of the choices."),
    ("organisation", {"contact": "a\x07b"}, "contact", "cannot be seen"),
    ("markets", {"markets": "DE, XX"}, "markets", "XX is no country code"),
    (
        "markets",
        {"markets": " ".join(f"D{one}" for one in range(51))},
        "markets",
        "At most 50 entries; these are 51",
    ),
    ("markets", {"evidence_id": "representative.de"}, "evidence_number", "This is needed."),
    ("markets", {"evidence_expires": "soon"}, "evidence_expires", "soon is no date"),
    ("public", {"listen": "here"}, "listen", "here: write address:port"),
    ("public", {"public_url": "http://ask.example"}, "public_url", "Plain http is for this machine alone"),
    ("public", {"trusted_proxies": "10.0.0.0/33"}, "trusted_proxies", "10.0.0.0/33 is no network"),
    ("public", {"certificate": "/c.pem"}, "key", "Certificate and key go together."),
    ("public", {"stage": "public"}, "certificate", "A public port needs a certificate"),
    (
        "public",
        {"stage": "public", "trusted_proxies": "10.0.0.4/32"},
        "public_url",
        "needs the https address",
    ),
    ("public", {"listen": "0.0.0.0:80"}, "stage", "needs the stage public"),
    ("model", {}, "model_name", "This is needed."),
    ("model", {"model_name": "a b"}, "model_name", "Letters, digits and"),
    ("model", {"base_url": "https://u:p@host/v1"}, "base_url", "carries no name, password"),
    ("model", {"model_name": "dragoman", "base_url": "https://h/v1"}, "model_name", "of this name exists"),
    (
        "model",
        {"model_name": "a", "base_url": "https://h/v1", "key_env": "AWS_SECRET_ACCESS_KEY"},
        "key_env",
        "has to end in _API_KEY",
    ),
    ("model", {"model_name": "a", "base_url": "https://h/v1", "key_file": "k"}, "key_file", "from / on"),
    ("model", {"currency": "EUR"}, "price_input", "A price has a currency"),
    (
        "model",
        {"currency": "EUR", "price_input": "-1", "price_output": "1"},
        "price_input",
        "A number from 0",
    ),
]


@pytest.mark.parametrize(("form", "fields", "field", "said"), WRONG)
def test_a_wrong_field_says_its_limit_and_nothing_typed_is_lost(
    operator: Visitor, form: str, fields: dict[str, str], field: str, said: str
) -> None:
    visitor = operator
    visitor.page(f"/setup/{form}")
    kept = {
        "organisation": "roles",
        "markets": "evidence_id",
        "public": "address_files",
        "model": "upstream",
    }[form]
    sent = {kept: "kept.by-me", "stage": "local", "proxy_protocol": "no", **fields}
    answer = visitor.form(f"/setup/{form}", **sent)
    assert answer.status == 400
    error = re.search(rf'id="f-{field}-error">([^<]*)<', answer.body)
    assert error is not None, answer.body
    assert said in error[1]
    assert "kept.by-me" in answer.body or kept in fields
    assert "<b>" not in answer.body
    told = visitor.post(f"/admin/v1/setup/{form}", sent)
    assert (told.status, told.code) == (400, "invalid_value")
    assert field in told.json()["error"]["errors"]


def test_the_loaders_own_faults_are_told(control: Control, file: Path) -> None:
    visitor = came_in(control)
    visitor.page("/setup/public")
    both = {"certificate": str(file), "key": str(file), "public_url": "https://ask.example"}
    answer = visitor.form("/setup/public", stage="public", proxy_protocol="no", listen="127.0.0.1:1", **both)
    assert answer.status == 400
    assert "the certificate and its key cannot be used together" in answer.body
    assert 'value="127.0.0.1:1"' in answer.body
    outside = {"stage": "local", "proxy_protocol": "no", "admin_listen": "0.0.0.0:9081"}
    answer = visitor.form("/setup/public", **outside)
    assert "an address other than loopback needs tls_cert and tls_key" in answer.body


def test_the_loaders_own_faults_are_told_in_the_readers_language(control: Control, file: Path) -> None:
    """By a form, over the API, and of the file as it stands; the log has the same in English."""
    visitor = came_in(control)
    outside = {"stage": "local", "proxy_protocol": "no", "admin_listen": "0.0.0.0:9081"}
    assert "非本机回环地址须有 tls_cert 与 tls_key" in visitor.form("/setup/public?lang=zh", **outside).body
    told = visitor.post("/admin/v1/setup/public", outside).json()["error"]["message"]
    assert "an address other than loopback" in told["en"] if isinstance(told, dict) else told
    file.write_text(file.read_text(encoding="utf-8") + "\n[nonesuch]\n", encoding="utf-8")
    for path in ("/setup", "/setup/organisation"):
        page = visitor.page(f"{path}?lang=zh").body
        assert "没有名为 `nonesuch` 的键" in page
        assert "unknown key" not in page
        assert "unknown key `nonesuch`" in visitor.page(f"{path}?lang=en").body, "the control"


def test_a_secret_that_was_typed_or_stands_in_the_file_is_not_shown(control: Control, file: Path) -> None:
    visitor = came_in(control)
    visitor.page("/setup/model")
    key = "sk-proj-0123456789abcdefghij"
    answer = visitor.form("/setup/model", model_name="a", base_url="https://h/v1", key_env=key)
    assert answer.status == 400
    assert key not in answer.body
    assert "Write the NAME of a variable" in answer.body
    file.write_text(f"# {key}\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    text = file.read_text(encoding="utf-8").replace("[zone]", "[deployment]\n[zone]")
    file.write_text(text, encoding="utf-8")
    page = visitor.page(shown(visitor, "organisation", **ORGANISATION))
    assert "•••" in page.body
    assert key not in page.body


def add(visitor: Visitor, provider: FakeProvider, **fields: str) -> Answer:
    visitor.page("/setup/model")
    asked = {"model_name": "house", "base_url": provider.url, "upstream": "m-1", **fields}
    return visitor.form("/setup/model", **asked)


def in_keys(file: Path, name: str) -> Path:
    """A place in the folder whose files the form may name."""
    folder = file.parent / "keys"
    folder.mkdir(exist_ok=True)
    return folder / name


def test_a_model_is_tried_and_written_as_the_command_does(control: Control, file: Path) -> None:
    visitor = came_in(control)
    key = in_keys(file, "house")
    key.write_text("a-secret-key\n", encoding="utf-8")
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider:
        price = {"currency": "eur", "price_input": "0.15", "price_output": "1"}
        place = add(visitor, provider, key_file=str(key), **price).headers["location"]
        assert provider.seen == [], "showing the difference calls nobody"
        tried = visitor.form(f"{place}/try")
        assert tried.headers["location"] == f"{place}#trial"
        assert "It answered in" in visitor.page(place).body
        assert "a-secret-key" in provider.heads[0]
        assert "a-secret-key" not in visitor.page(place).body
        visitor.form(place)
    models = control.core.holder.loaded
    assert models.settings.models["house"].model == "m-1"
    assert models.prices.at("house", "m-1", 0) is not None
    assert "a-secret-key" not in file.read_text(encoding="utf-8")
    assert "# The shop" in file.read_text(encoding="utf-8")
    assert "house" in visitor.page("/setup/model").body


def test_a_model_that_does_not_answer_is_not_written(control: Control, file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    visitor = came_in(control)
    with closing(FakeProvider(Script([b"{}"], status=401, content_type=JSON))) as provider:
        place = add(visitor, provider).headers["location"]
        assert visitor.form(place).headers["location"] == place
        assert "The provider refused the key (status 401)" in visitor.page(place).body
        assert "Written" not in visitor.page(place).body
    visitor.page("/setup/model")
    place = visitor.form("/setup/model", model_name="gone", base_url="http://127.0.0.1:1/v1").headers[
        "location"
    ]
    visitor.form(place)
    assert "cannot be reached" in visitor.page(place).body
    assert file.read_text(encoding="utf-8") == before


def test_nothing_but_a_providers_key_is_named_and_a_difference_tells_nothing_of_it(
    control: Control, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = came_in(control)
    for name in ("DRAGOMAN_OIDC_API_KEY", "PGPASSWORD", "THERE_API_KEY"):
        monkeypatch.setenv(name, "x")
    there = in_keys(file, "there")
    there.write_text("a-key", encoding="utf-8")
    outside = file.parent / "outside"
    outside.write_text("a-secret", encoding="utf-8")
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider:
        refused = [
            {"key_file": str(control.settings.zone.data / "secrets" / "pepper")},
            {"key_file": str(outside)},
            {"key_file": str(in_keys(file, "../outside"))},
            {"key_file": "/nowhere/key"},
            {"key_env": "DRAGOMAN_OIDC_API_KEY"},
            {"key_env": "PGPASSWORD"},
        ]
        for fields in refused:
            answer = add(visitor, provider, **fields)
            assert answer.status == 400, fields
            assert ("has to end in _API_KEY" in answer.body) == ("key_env" in fields)
            assert (f"Put it into the folder {file.parent / 'keys'}" in answer.body) == ("key_file" in fields)
        shows = []
        for one in (str(there), str(in_keys(file, "nowhere"))):
            shows.append(visitor.page(add(visitor, provider, key_file=one).headers["location"]).body)
        for one in ("THERE_API_KEY", "NOWHERE_API_KEY"):
            shows.append(visitor.page(add(visitor, provider, key_env=one).headers["location"]).body)
        assert all("key_" in one and "Write exactly" in one for one in shows)
        assert provider.seen == []


def test_where_no_key_is_nobody_is_asked_and_nothing_is_written(control: Control, file: Path) -> None:
    visitor, before = came_in(control), file.read_text(encoding="utf-8")
    outside = file.parent / "outside"
    outside.write_text("a-secret", encoding="utf-8")
    link, lines, fifo, good = (in_keys(file, name) for name in ("link", "lines", "fifo", "good"))
    link.symlink_to(outside)
    lines.write_text("one\ntwo\n", encoding="utf-8")
    os.mkfifo(fifo)
    good.write_text("a-key\n", encoding="utf-8")
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider:
        bad = [{"key_file": str(one)} for one in (link, lines, fifo, good.with_name("nowhere"), good.parent)]
        for fields in ({"key_env": "NOWHERE_API_KEY"}, *bad[:-1]):
            place = add(visitor, provider, **fields).headers["location"]
            visitor.page(place)
            visitor.form(place)
            assert "No key can be read there" in visitor.page(place).body, fields
        assert add(visitor, provider, **bad[-1]).status == 400, "the folder itself"
        assert (provider.seen, file.read_text(encoding="utf-8")) == ([], before)
        place = add(visitor, provider, key_file=str(good)).headers["location"]
        visitor.page(place)
        visitor.form(f"{place}/try")
        assert "It answered in" in visitor.page(place).body, "the control"


def test_a_key_goes_to_its_own_origin_alone(control: Control, file: Path) -> None:
    visitor = came_in(control)
    key = in_keys(file, "first")
    key.write_text("a-key\n", encoding="utf-8")
    script = Script([whole("ready")], content_type=JSON)
    with closing(FakeProvider(script)) as provider, closing(FakeProvider(script)) as other:
        place = add(visitor, provider, key_file=str(key)).headers["location"]
        visitor.page(place)
        visitor.form(place)
        refused = add(visitor, other, model_name="second", key_file=str(key))
        assert refused.status == 400, "another port of the same host"
        assert "belongs to something else" in refused.body
        assert add(visitor, provider, model_name="second", key_file=str(key)).status == 303, "the control"
        assert other.seen == []


def test_a_test_turn_without_a_relay_says_what_to_do(control: Control) -> None:
    visitor = came_in(control)
    visitor.page("/setup/model")
    answer = visitor.form("/setup/turn", model="dragoman")
    assert "the relay does not answer" in answer.body
    assert "dragoman doctor --online" in answer.body
    assert visitor.form("/setup/turn", model="nobody").code == "invalid_value"


def test_what_the_environment_overrides_is_told(
    control: Control, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = came_in(control)
    monkeypatch.setenv("DRAGOMAN_DEPLOYMENT__SEAT", "FR")
    page = visitor.page(shown(visitor, "organisation", **{**ORGANISATION, "seat": "DE"}))
    assert "<code>DRAGOMAN_DEPLOYMENT__SEAT</code>" in page.body
    monkeypatch.delenv("DRAGOMAN_DEPLOYMENT__SEAT")
    page = visitor.page(shown(visitor, "organisation", **{**ORGANISATION, "seat": "DE"}))
    assert "stands above the file" not in page.body


def test_of_two_models_of_one_name_the_second_is_refused_and_not_mixed(control: Control, file: Path) -> None:
    one, other = came_in(control), came_in(control)
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider:
        places = [add(visitor, provider).headers["location"] for visitor in (one, other)]
        one.page(places[0])
        other.page(places[1])
        assert one.form(places[0]).status == 303
        written = file.read_text(encoding="utf-8")
        refused = other.form(places[1])
        assert (refused.status, refused.code) == (400, "invalid_value")
        assert file.read_text(encoding="utf-8") == written
        assert [
            entry["act"] for entry in acts(control) if entry.get("act", "").startswith(("setup.", "config."))
        ][-5:] == ["setup.try", "config.write", "setup.try", "config.write", "config.kept"]


def test_a_form_that_is_sent_twice_at_once_is_written_once(control: Control, file: Path) -> None:
    visitor = came_in(control)
    place = shown(visitor, "organisation", **ORGANISATION)
    visitor.page(place)
    before = sum(entry.get("act") == "config.write" for entry in acts(control))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: visitor.form(place), range(4)))
    assert {(one.status, one.headers["location"]) for one in answers} == {(303, place)}
    assert sum(entry.get("act") == "config.write" for entry in acts(control)) == before + 1


def test_a_market_asks_for_its_filings_and_holds_them(control: Control, file: Path) -> None:
    visitor = came_in(control)
    visitor.form(shown(visitor, "markets", markets="CN"))
    page = visitor.page("/setup/markets").body
    names = re.findall(r'<label for="f-number_(\d+)">[^<]*<code>([a-z_.]+)</code>', page)
    assert "icp_filing" in [name for _, name in names]
    at = next(number for number, name in names if name == "icp_filing")
    wrong = visitor.form("/setup/markets", markets="CN", **{f"expires_{at}": "2030-01-31"})
    assert f'id="f-number_{at}-error">This is needed.' in wrong.body
    assert 'value="2030-01-31"' in wrong.body
    held = {f"number_{at}": "ICP-1", f"expires_{at}": "2030-01-31"}
    visitor.form(shown(visitor, "markets", markets="CN", **held))
    wanted = '[deployment.evidence.icp_filing]\nnumber = "ICP-1"\nexpires = 2030-01-31\n'
    assert wanted in file.read_text(encoding="utf-8")
    assert control.core.holder.loaded.settings.deployment.evidence["icp_filing"].number == "ICP-1"
    page = visitor.page("/setup/markets").body
    at = re.findall(r'<label for="f-number_(\d+)">[^<]*<code>icp_filing</code>', page)[0]
    assert 'value="ICP-1"' in page
    visitor.form(shown(visitor, "markets", markets="CN", **{f"number_{at}": "", f"expires_{at}": ""}))
    assert "icp_filing" not in file.read_text(encoding="utf-8")
    assert "icp_filing" not in control.core.holder.loaded.settings.deployment.evidence
