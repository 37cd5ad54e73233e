"""Appeals over control's sockets: received once, acknowledged, one's own alone, read by operators, erased."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from turns_control import Relay, answer_record, new_key, person

from dragoman.assistants import appeals
from dragoman.assistants.appeals import APPEALS_A_DAY, CONTACT_CHARS, TEXT_CHARS
from dragoman.control.app import Control
from dragoman.control.appeals import PATH, AppealRoutes
from dragoman.control.relay_config import SESSION_COOKIE
from dragoman.ids import new_id, now_ms
from dragoman.ledger.logs import entries, shards
from dragoman.stores.overview import Overview

GOLDEN = Path(__file__).parents[1] / "wire" / "v1" / "interventions.request.json"
CONFIG = """[zone]
data = "d"
[deployment]
name = "Lamps Ltd"
contact = "appeals@lamps.example"
appeal_answer_days = 14
[tenants.other]
title = "O"
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("a")
    (folder / "dragoman.toml").write_text(CONFIG, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


class Case:
    """Somebody with an intervention, a refused decision and a turn."""

    def __init__(self, run: Path, tenant: str = "default") -> None:
        self.relay = Relay(run, person(run, new_key(run, tenant=tenant)["text"]))
        self.turn = self.relay.turn(self.relay.conversation(), "Hello", "Hi")["turn"]
        self.intervention = new_id("int", "local")
        self.decision = "dec_local_" + hashlib.sha256(self.turn.encode()).hexdigest()[:32]
        one = json.loads(GOLDEN.read_text(encoding="utf-8"))["interventions"][0]
        who = {name: self.relay.who[name] for name in ("tenant", "principal")}
        one |= {**who, "id": self.intervention, "turn": self.turn, "at": now_ms(), "origin": "vendor"}
        one |= {"rule": None, "action": "refuse", "vendor": "content_filter"}
        assert self.relay.plan("POST", "/interventions", {"interventions": [one]})[0] == 204

    def refuse(self, control: Control) -> None:
        """Keep the decision as one that refused."""
        document = {"id": self.decision, "as_of": now_ms(), "outcome": "DENY", "reasons": [], "packs": {}}
        control.core.interventions.keep_decision(self.relay.who["tenant"], document).result()

    @property
    def subjects(self) -> dict[str, str]:
        return {"intervention": self.intervention, "decision": self.decision, "turn": self.turn}


@pytest.fixture(scope="module")
def run(control: Control) -> Path:
    return control.settings.zone.data / "run"


@pytest.fixture
def case(control: Control, run: Path) -> Case:
    case = Case(run)
    case.refuse(control)
    return case


def send(relay: Relay, about: str, text: str = "I object.", **more: Any) -> tuple[int, Any]:
    headers = more.pop("headers", {})
    return relay.own("POST", PATH, {"about": about, "text": text, **more}, **headers)


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def test_an_appeal_is_received_acknowledged_and_read_again(control: Control, case: Case) -> None:
    for kind, about in case.subjects.items():
        words = f"The lamp was blue. {new_id('x', 'local')}"
        status, made = send(case.relay, about, f" {words}\n", contact=" li@example.org ")
        assert (status, made["object"], made["state"], made["text"]) == (201, "appeal", "received", words)
        assert (made["about"]["kind"], made["about"]["id"]) == (kind, about)
        assert made["about"]["turn"] == (None if kind == "decision" else case.turn)
        assert made["contact"] == "li@example.org"
        assert made["answer_by"] - made["created_at"] == 14 * 86_400
        for language, stated in (("en", "answers within 14 days"), ("zh", "承诺在 14 天内答复")):
            said = made["acknowledgement"][language]
            assert made["id"] in said, language
            assert "appeals@lamps.example" in said, language
            assert stated in said, language
        assert case.relay.own("GET", f"{PATH}/{made['id']}") == (200, made)
        acts = recorded(control, made["id"])
        assert [(one["act"], one["about"], one["text"]) for one in acts] == [
            ("appeal.received", about, made["digest"])
        ]
        salt = base64.urlsafe_b64decode(made["salt"] + "=" * (-len(made["salt"]) % 4))
        assert made["digest"] == "sha256:" + hashlib.sha256(salt + words.encode()).hexdigest()
        assert words not in json.dumps(acts), "the record holds no words of a person"
    listed = case.relay.own("GET", f"{PATH}?limit=2")[1]
    assert [one["about"]["kind"] for one in listed["data"]] == ["turn", "decision"], "newest first"
    assert listed["has_more"] is True
    rest = case.relay.own("GET", f"{PATH}?limit=2&after={listed['last_id']}")[1]
    assert [one["about"]["kind"] for one in rest["data"]] == ["intervention"]
    assert code(case.relay.own("GET", f"{PATH}?after=trn_x")) == (400, "invalid_value")


def recorded(control: Control, appeal: str) -> list[dict[str, Any]]:
    """Acts on an appeal in control's own log, once all of them stand."""
    control.log.entered()
    folder: Path = control.settings.zone.data / "registry"
    for _ in range(200):
        found = [entry.value for shard in shards(folder) for entry in entries(shard)]
        acts = [one for one in found if one.get("appeal") == appeal]
        if acts and not control.core.outbox.pending():
            return acts
        control.log.entered()
    raise AssertionError("the act does not stand in the log")


def test_nothing_is_promised_that_the_operator_did_not_state() -> None:
    said = appeals.acknowledgement("apl_x", 0, appeals.Office("Lamps Ltd", None, None))
    assert "has not stated by when" in said["en"]
    assert "未说明答复期限" in said["zh"]
    assert "within" not in said["en"]
    assert "天" not in said["zh"]
    stated = appeals.acknowledgement("apl_x", 0, appeals.Office("Lamps Ltd", None, 14))
    assert "by 1970-01-15" in stated["en"], "the negative control"


def test_the_same_request_is_received_once(case: Case) -> None:
    key = {"idempotency_key": f"k-{case.turn}"}
    first = send(case.relay, case.turn, headers=key)
    assert first[0] == 201
    assert send(case.relay, case.turn, headers=key) == first
    assert code(send(case.relay, case.turn, "Otherwise.", headers=key)) == (422, "idempotency_mismatch")
    assert code(send(case.relay, case.turn)) == (409, "appeal_open")
    assert code(send(case.relay, case.turn, headers={"idempotency_key": "k-other"})) == (409, "appeal_open")
    assert len(case.relay.own("GET", PATH)[1]["data"]) == 1
    assert send(case.relay, case.intervention)[0] == 201, "about something else it is another one"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"text": "x"}, "about"),
        ({"about": 7, "text": "x"}, "about"),
        ({"about": "int_local_1", "text": "x"}, "about"),
        ({"about": "key_local_" + "0" * 8, "text": "x"}, "about"),
        ({"about": "dec_" + "x" * 300, "text": "x"}, "about"),
        ({"about": "dec_x"}, "text"),
        ({"about": "dec_x", "text": " \n"}, "text"),
        ({"about": "dec_x", "text": ["x"]}, "text"),
        ({"about": "dec_x", "text": "x" * (TEXT_CHARS + 1)}, "text"),
        ({"about": "dec_x", "text": "\ud800"}, "text"),
        ({"about": "dec_x", "text": "x", "contact": "c" * (CONTACT_CHARS + 1)}, "contact"),
        ({"about": "dec_x", "text": "x", "state": "granted"}, "state"),
    ],
)
def test_what_is_not_an_appeal_is_named(run: Path, body: dict[str, Any], param: str) -> None:
    told = {"dragoman_tenant": "ten_local_x", "dragoman_principal": "prn_local_x"}
    status, answer = Relay(run, {}).call("pages.sock", "POST", PATH, body, **told)
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_value", param)


def test_bounds_hold_and_what_is_at_them_fits(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    status, made = send(case.relay, case.turn, "字" * TEXT_CHARS, contact="c" * CONTACT_CHARS)
    assert (status, len(made["text"])) == (201, TEXT_CHARS)
    monkeypatch.setattr(appeals, "APPEALS_A_DAY", 2)
    assert send(case.relay, case.intervention)[0] == 201
    assert code(send(case.relay, case.decision)) == (429, "too_many_appeals")
    monkeypatch.setattr(appeals, "APPEALS_A_DAY", APPEALS_A_DAY)
    assert send(case.relay, case.decision)[0] == 201, "the negative control"
    assert code(case.relay.own("POST", PATH, b"x" * 70_000)) == (413, "body_too_large")
    assert code(case.relay.own("POST", PATH, b"[]")) == (400, "invalid_json")


def test_guests_of_a_public_port_share_a_bound(
    control: Control, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has no key counts with all others that have none, where anybody may come by."""
    deployment = control.settings.deployment
    case = Case(run)
    case.relay.who["key"] = None
    monkeypatch.setattr(appeals, "GUEST_APPEALS_A_DAY", 0)
    public = control.core.holder.loaded.settings.model_copy(
        update={"deployment": deployment.model_copy(update={"stage": "public"})}
    )
    loaded = control.core.holder.loaded
    object.__setattr__(loaded, "settings", public)
    try:
        assert code(send(case.relay, case.turn)) == (429, "too_many_appeals")
    finally:
        object.__setattr__(loaded, "settings", control.settings)
    assert send(case.relay, case.turn)[0] == 201, "at one's own machine whoever sits there"


def test_guests_of_an_address_that_is_full_are_refused_and_their_words_kept(
    control: Control, run: Path
) -> None:
    """What the relay says of the address; `guests` of edge_throttle.rs is when it does."""
    principals, tenant = control.core.principals, control.core.guest_tenant().tenant
    cookie = principals.new_guest(tenant, now_ms())
    session = principals.session(cookie, now_ms())
    assert session is not None
    case = Case(run)
    guest = Relay(run, {**case.relay.who, "tenant": tenant, "principal": session.principal, "key": None})
    first, second = (guest.turn(guest.conversation(), "Hello", "Hi")["turn"] for _ in range(2))
    full = {appeals.FULL[0]: appeals.FULL[1]}
    once = {"idempotency_key": "one"}
    sent = send(guest, first, headers=once)
    assert sent[0] == 201
    assert send(guest, first, headers={**full, **once}) == sent, "what was received is told again"
    assert code(send(guest, second, headers=full)) == (429, "too_many_appeals")
    form = {
        "accept": "text/html",
        "content_type": "application/x-www-form-urlencoded",
        "sec_fetch_site": "same-origin",
    }
    who = {"cookie": f"{SESSION_COOKIE}={cookie}", "accept_language": "zh", "dragoman_locale": "zh"}
    path, words = f"/appeal/{second}", b"text=The+lamp+was+blue."
    status, page = guest.call("pages.sock", "POST", path, words, **form, **who, **full)[:2]
    assert status == 429
    assert "一天内的申诉数量已达上限" in str(page)
    assert "The lamp was blue." in str(page)
    assert send(case.relay, case.turn, headers=full)[0] == 201, "whoever has a key counts by it"
    assert send(guest, second)[0] == 201, "the negative control: nothing was kept of it"


ROUTES = sorted(
    (method, route.path)
    for route in AppealRoutes(None, "local", None).routes()  # type: ignore[arg-type]
    for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
)


def test_the_matrix_has_every_route() -> None:
    assert [("GET", PATH), ("GET", f"{PATH}/{{appeal}}"), ("POST", PATH)] == ROUTES


def test_nobody_appeals_or_reads_for_another(control: Control, run: Path, case: Case) -> None:
    """Subjects and appeals x whoever does not own them: one and the same 404, and nothing is kept."""
    mine = send(case.relay, case.turn)[1]["id"]
    others = {"other principal": Case(run).relay, "other tenant": Case(run, "other").relay}
    seen: list[tuple[str, Any]] = []
    for (who, relay), (kind, about) in itertools.product(others.items(), case.subjects.items()):
        if (who, kind) == ("other principal", "decision"):
            continue  # it names no person: whoever of the tenant was refused by it reads it, and may object
        seen.append((f"{who} {kind}", send(relay, about)))
    for kind in ("int", "trn"):
        for zone in ("local", "eu"):
            seen.append((f"unknown {kind} {zone}", send(case.relay, new_id(kind, zone))))
    seen.append(("unknown decision", send(case.relay, "dec_local_" + "0" * 32)))
    for name, answer in seen:
        assert code(answer) == (404, "appeal_subject_not_found"), name
    assert len({str(answer[1]) for _, answer in seen}) == 1, "one shape, to the letter"
    for who, relay in others.items():
        assert code(relay.own("GET", f"{PATH}/{mine}")) == (404, "appeal_not_found"), who
        assert relay.own("GET", PATH)[1]["data"] == [], who
    for name in (new_id("apl", "local"), "x", "x" * 300, "%25"):
        assert code(case.relay.own("GET", f"{PATH}/{name}")) == (404, "appeal_not_found")
    for method, path in ROUTES:
        status, body = case.relay.call("pages.sock", method, path.format(appeal=mine), b"{}")
        assert (status, body["error"]["code"]) == (401, "missing_credential")
    assert case.relay.own("GET", f"{PATH}/{mine}")[0] == 200, "the owner's stays"


def test_a_deleted_conversation_leaves_the_appeal_and_an_erased_person_none(
    control: Control, case: Case
) -> None:
    words = f"needle {new_id('x', 'local')}"
    made = send(case.relay, case.turn, words, headers={"idempotency_key": "erase"})[1]
    name = case.relay.v1("GET", "")[1]["data"][0]["id"]
    assert case.relay.v1("DELETE", f"/{name}")[0] == 200
    assert case.relay.own("GET", f"{PATH}/{made['id']}")[1]["text"] == words
    assert code(send(case.relay, case.turn)) == (404, "appeal_subject_not_found"), "the turn is gone"
    file = control.settings.zone.data / "zone.db"
    assert words.encode() in whole(file), "the negative control"
    who = case.relay.who
    control.core.eraser.erase(who["tenant"], who["principal"])
    assert code(case.relay.own("GET", f"{PATH}/{made['id']}")) == (404, "appeal_not_found")
    assert words.encode() not in whole(file), "in the database's own log too"
    assert recorded(control, made["id"])[0]["text"] == made["digest"], "the ledger keeps what it had"


def whole(file: Path) -> bytes:
    """The database with its log, as bytes."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as raw:
        raw.execute("SELECT 1").fetchone()
    return b"".join(path.read_bytes() for path in file.parent.glob("zone.db*"))


def test_operators_see_that_one_came_and_read_it(control: Control, case: Case) -> None:
    made = send(case.relay, case.intervention, "Words for the operator.", contact="li@example.org")[1]
    seen = Overview(control.core.database)
    row = next(one for one in seen.appeals() if one["appeal"] == made["id"])
    assert (row["about"], row["state"], row["turn"]) == (case.intervention, "received", case.turn)
    assert "text" not in row
    found = seen.appeal(case.relay.who["tenant"], made["id"])
    assert found is not None
    assert (found["text"], found["contact"]) == ("Words for the operator.", "li@example.org")
    assert found["acknowledged"] == made["acknowledgement"]
    assert "salt" not in found
    assert seen.appeal("ten_local_x", made["id"]) is None
    assert seen.appeals(before=row["at"]) == [one for one in seen.appeals() if one["at"] < row["at"]]


def test_the_page_of_an_appeal_is_its_owners_alone(control: Control, run: Path, case: Case) -> None:
    """Subjects and appeals x whoever looks: 404 but for the owner; a form from elsewhere is not taken."""
    principals, tenant = control.core.principals, control.core.guest_tenant().tenant
    cookies = [principals.new_guest(tenant, now_ms()) for _ in range(2)]
    sessions = [principals.session(cookie, now_ms()) for cookie in cookies]
    assert sessions[0] is not None
    mine = Relay(run, {**case.relay.who, "tenant": tenant, "principal": sessions[0].principal, "key": None})
    guest = Case(run)
    guest_turn = mine.turn(mine.conversation(), "Hello", "Hi")["turn"]
    sent = send(mine, guest_turn)[1]["id"]
    told = {"accept": "text/html", "content_type": "application/x-www-form-urlencoded"}

    def look(method: str, about: str, cookie: str | None, **more: str) -> int:
        who = {"cookie": f"{SESSION_COOKIE}={cookie}"} if cookie else {}
        body = b"text=taken" if method == "POST" else None
        return mine.call("pages.sock", method, f"/appeal/{about}", body, **told, **who, **more)[0]

    same = {"sec_fetch_site": "same-origin"}
    for about, method in itertools.product((guest_turn, sent), ("GET", "POST")):
        for cookie in (cookies[1], None, "forged"):
            assert look(method, about, cookie, **same) == 404, (about, method)
    for about in (guest.turn, guest.intervention, new_id("apl", "local"), "x"):
        assert look("GET", about, cookies[0]) == 404
    assert look("POST", guest_turn, cookies[0], sec_fetch_site="cross-site") == 403
    assert look("GET", guest_turn, cookies[0]) == look("GET", sent, cookies[0]) == 200, "the negative control"
    assert look("POST", guest_turn, cookies[0], **same) == 303, "it is received already: its page"
    assert [one["text"] for one in mine.own("GET", PATH)[1]["data"]] == ["I object."]


def test_a_stored_turn_says_of_its_interventions_what_the_answer_did(control: Control, case: Case) -> None:
    relay, name = case.relay, case.relay.conversation()
    opened = relay.open(name, "Hello", interventions=[case.intervention])[1]
    record = answer_record("Hi")
    assert relay.close(opened["turn"], record, interventions=["int_local_gone"])[0] == 204
    assert relay.finish(opened["turn"], record)[0] == 204
    first, gone = relay.v1("GET", f"/{name}/turns/{opened['turn']}")[1]["dragoman"]["interventions"]
    assert (first["id"], first["origin"], first["action"]) == (case.intervention, "vendor", "refuse")
    assert first["url"] == f"/v1/interventions/{case.intervention}"
    assert first["appeal"] == f"/appeal/{case.intervention}"
    members = {"rule", "version", "reason_code", "message", "source", "lane", "offset", "length"}
    assert members <= set(first)
    assert set(gone) == {"id", "url", "appeal"}, "nothing more is kept of it"
    frames = relay.v1("GET", f"/{name}/turns/{opened['turn']}?after=0")[1]
    last = [json.loads(one[6:]) for one in frames.split("\n") if one.startswith("data: {")][-1]
    assert last["dragoman"]["interventions"] == [first, gone], "its stream says the same"
