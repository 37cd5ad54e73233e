"""Evidence over control and the admin listener: handed in, bounded, decided on, and what comes of it in decisions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import socket
import sqlite3
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_client import Visitor, refusal

from dragoman.accounts import classes, evidence
from dragoman.accounts.placement import Address
from dragoman.accounts.placement import document as placement_document
from dragoman.admin import attempts
from dragoman.assistants import erasure
from dragoman.control import evidence as handing_in
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.core.people import Declared, Person, Phone, Verified
from dragoman.ids import now_ms
from dragoman.testing.multipart import BOUNDARY, KIND
from dragoman.testing.ports import free_port
from dragoman.testing.sms import FakeSms
from dragoman.testing.visitor import Visitor as Browser
from promise import eventually

DAY_MS = 86_400_000
PDF = b"%PDF-1.7\n" + b"an identity card, scanned\n" * 40
CONFIG = """
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
[deployment]
name = "Lamps"
seat = "SG"
[sms]
url = "{url}"
key_file = "key"
[retention]
evidence_days = 190
"""
PHONES = iter(f"+658123{n:04d}" for n in range(4000, 5000))


@pytest.fixture(scope="module")
def sms() -> Iterator[FakeSms]:
    with closing(FakeSms(key="k-of-gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("e")
    (folder / "key").write_text("k-of-gateway\n", encoding="utf-8")
    text = CONFIG.format(url=sms.url, listen=free_port(), admin=free_port())
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


@pytest.fixture
def somebody(control: Control, sms: FakeSms) -> Visitor:
    visitor = Visitor(control.settings.zone.data / "run", sms)
    visitor.sign_up(next(PHONES), residence="SG", least_age=20)
    return visitor


def browser(control: Control, role: str) -> Browser:
    assert control.admin is not None
    made = Browser(int(control.admin.origin.rpartition(":")[2]))
    link = control.core.people.invite("cli", role, None, None).text
    assert made.enrol(f"x#{link}").status == 200
    return made


@pytest.fixture
def operator(control: Control, monkeypatch: pytest.MonkeyPatch) -> Browser:
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    return browser(control, OPERATOR)


def form(kind: str, text: str = "", file: tuple[str, bytes] | None = None) -> bytes:
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in (("kind", kind), ("text", text))]
    if file is not None:
        parts.append(f'name="file"; filename="{file[0]}"\r\n\r\n'.encode() + file[1])
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def hand_in(
    visitor: Visitor, kind: str, text: str = "", file: tuple[str, bytes] | None = None
) -> tuple[int, Any]:
    return visitor.call("POST", "/v1/me/evidence", form(kind, text, file), content_type=KIND)[:2]


def handed_in(visitor: Visitor, kind: str, text: str = "", file: tuple[str, bytes] | None = None) -> Any:
    status, made = hand_in(visitor, kind, text, file)
    assert status == 201, made
    return made


def facts(control: Control, visitor: Visitor) -> dict[str, Any]:
    who = visitor.who()
    assert who is not None
    return dict(control.core.classes.facts(who["class"]) or {})


def tenant(control: Control) -> str:
    return control.core.guest_tenant().tenant


def soon(days: int = 90) -> str:
    return (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)).isoformat()


def acts(control: Control, name: str) -> list[dict[str, Any]]:
    """The acts on a piece of evidence that went into control's own log, or are on their way."""
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        rows = [json.loads(row[0]) for row in raw.execute("SELECT entry FROM outbox ORDER BY item")]
    return [one for one in rows if one.get("evidence") == name]


def test_accepted_evidence_becomes_facts_that_decisions_read(
    control: Control, somebody: Visitor, operator: Browser
) -> None:
    before = facts(control, somebody)
    assert (before["account"], before["age_source"], before["identity"]) == (
        "new",
        "declared",
        {"verified": ["phone"]},
    )
    made = handed_in(somebody, "residence", "My lease. 租约", ("租 约.pdf", PDF))
    assert (made["state"], made["file"]["name"], made["file"]["type"]) == (
        "waiting",
        "租 约.pdf",
        "application/pdf",
    )
    assert made["file"]["sha256"] == hashlib.sha256(PDF).hexdigest()
    assert facts(control, somebody) == before, "handing in verifies nothing"
    where = f"/reviews/{tenant(control)}/{made['id']}"
    page = operator.page("/reviews").body
    assert made["id"] in page
    assert "My lease" not in page, "no words in the list"
    assert "My lease. 租约" in operator.page(where).body
    saved = operator.ask("GET", f"{where}/file")
    assert saved.body.encode() == PDF
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"].startswith("attachment;")
    answer = operator.form(
        "/reviews/accept",
        tenant=tenant(control),
        evidence=made["id"],
        residence="SG",
        birth_date="1990-05-31",
        real_name="yes",
        guardian="",
        until=soon(),
    )
    assert (answer.status, answer.headers["location"]) == (303, where)
    after = facts(control, somebody)
    assert after["account"] == "established"
    assert (after["age"] >= 35, after["age_source"]) == (True, "verified")
    assert after["identity"] == {"verified": ["phone", "real_name", "residence", "age"]}
    assert "guardian_consent" not in after
    placement = somebody.call("GET", "/v1/me/placement")[1]
    assert placement["residence"] == {
        "country": "SG",
        "subdivision": None,
        "known_by": "verified",
        "until": soon(),
    }
    (held,) = somebody.call("GET", "/v1/me/evidence")[1]["data"]
    assert [one["fact"] for one in held["verified"]] == ["residence", "age", "real_name"]
    kinds = [one["act"] for one in acts(control, made["id"])]
    assert kinds == ["evidence.received", "evidence.read", "evidence.file_read", "evidence.accepted"]
    told = json.dumps(acts(control, made["id"]))
    assert not {"1990", "lease", '"SG"', somebody.who()["principal"]} & {  # type: ignore[index]
        word
        for word in ("1990", "lease", '"SG"', somebody.who()["principal"])
        if word in told  # type: ignore[index]
    }
    salt = urlsafe_b64decode(made["salt"] + "=" * (-len(made["salt"]) % 4))
    raw = salt + made["text"].encode() + b"\0" + hashlib.sha256(PDF).digest()
    assert acts(control, made["id"])[0]["digest"] == "sha256:" + hashlib.sha256(raw).hexdigest()


def test_a_rejection_says_why_and_taking_back_makes_facts_unknown_again(
    control: Control, somebody: Visitor, operator: Browser
) -> None:
    made = handed_in(somebody, "guardian", "My mother agrees.")
    where = f"/reviews/{tenant(control)}/{made['id']}"
    named = {"tenant": tenant(control), "evidence": made["id"]}
    operator.page(where)
    wrong = operator.form("/reviews/accept", **named, until=soon())
    assert wrong.status == 400, "nothing was verified"
    assert 'role="alert"' in wrong.body
    assert operator.form("/reviews/accept", **named, guardian="yes", until=soon(-1)).status == 400
    assert operator.form("/reviews/accept", **named, guardian="yes", until=soon()).status == 303
    assert facts(control, somebody)["guardian_consent"] == {"given": True, "method": "review"}
    again = operator.post("/admin/v1/reviews/accept", {**named, "guardian": True, "until": soon()})
    assert (again.status, again.code) == (409, "evidence_decided")
    done = operator.post(
        "/admin/v1/reviews/reject", {**named, "reason": "The signature is another's. 签名不符"}
    )
    assert (done.status, done.json()["state"]) == (200, "rejected")
    assert "guardian_consent" not in facts(control, somebody)
    (held,) = somebody.call("GET", "/v1/me/evidence")[1]["data"]
    assert (held["state"], held["reason"]) == ("rejected", "The signature is another's. 签名不符")
    assert operator.post("/admin/v1/reviews/reject", {**named, "reason": "x"}).code == "evidence_decided"


def test_who_may_not_decides_nothing(control: Control, somebody: Visitor, operator: Browser) -> None:
    made = handed_in(somebody, "real_name", "", ("id.png", b"\x89PNG\r\n\x1a\n" + b"x" * 9))
    where = f"/reviews/{tenant(control)}/{made['id']}"
    named = {"tenant": tenant(control), "evidence": made["id"], "real_name": True, "until": soon()}
    auditor = browser(control, AUDITOR)
    assert made["id"] in auditor.page("/reviews").body
    for path in (where, f"{where}/file", f"/admin/v1{where}"):
        assert auditor.ask("GET", path).code == "wrong_role", path
    assert auditor.post("/admin/v1/reviews/accept", named).code == "wrong_role"
    operator.page(where)
    assert (
        operator.post("/admin/v1/reviews/accept", named, origin="https://other.example").code
        == "cross_origin"
    )
    assert operator.post("/admin/v1/reviews/accept", named, x_csrf_token="no").code == "stale_form"
    sessions = control.admin.table.find("GET", "/reviews")[0].endpoint.__self__._context.sessions  # type: ignore[union-attr]
    real = sessions.clock
    sessions.clock = lambda: real() + 6 * 60_000
    try:
        assert operator.post("/admin/v1/reviews/accept", named).code == "confirm_first"
    finally:
        sessions.clock = real
    assert "real_name" not in facts(control, somebody)["identity"]["verified"]
    again = browser(control, OPERATOR)  # whose log-in no clock was moved under
    other = {**named, "evidence": made["id"].replace("evd_", "evx_")}
    assert again.post("/admin/v1/reviews/accept", other).status == 404
    assert again.post("/admin/v1/reviews/accept", named).status == 200, "the control"


@pytest.mark.parametrize(
    ("kind", "text", "file", "said"),
    [
        ("passport", "x", None, "kind"),
        ("age", "", None, "text"),
        ("age", "x" * (evidence.TEXT_CHARS + 1), None, "text"),
        ("age", "", ("a.pdf", b"MZ\x90\x00 a program"), "file"),
        ("age", "", ("a.html", b"<html>%PDF-"), "file"),
        ("age", "", ("a.pdf", b"%PDF-" + b"x" * evidence.FILE_BYTES), "file"),
    ],
)
def test_what_is_not_taken(
    somebody: Visitor, kind: str, text: str, file: tuple[str, bytes] | None, said: str
) -> None:
    status, answer = hand_in(somebody, kind, text, file)
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_value", said)
    assert somebody.call("GET", "/v1/me/evidence")[1]["data"] == []


def test_bounds_and_strangers(control: Control, somebody: Visitor, sms: FakeSms) -> None:
    huge = form("age", "x", ("a.pdf", b"%PDF-" + b"x" * (evidence.FILE_BYTES + (128 << 10))))
    assert somebody.call("POST", "/v1/me/evidence", huge, content_type=KIND)[0] == 413
    half = form("age", "x", ("a.pdf", PDF))[:-40]
    assert refusal(somebody.call("POST", "/v1/me/evidence", half, content_type=KIND)[:2]) == (
        400,
        "invalid_value",
    )
    two = form("age", "x", ("a.pdf", PDF)).replace(f"--{BOUNDARY}--".encode(), b"") + form(
        "age", "x", ("b.pdf", PDF)
    )
    assert somebody.call("POST", "/v1/me/evidence", two, content_type=KIND)[0] == 400
    plain = "application/x-www-form-urlencoded"
    assert somebody.call("POST", "/v1/me/evidence", b"kind=age&text=x", content_type=plain)[0] == 400
    for _ in range(evidence.WAITING_EACH):
        assert somebody.call("POST", "/v1/me/evidence", {"kind": "age", "text": "born in May"})[0] == 201
    assert refusal(hand_in(somebody, "age", "once more")) == (429, "too_much_evidence")
    stranger = Visitor(somebody.run, sms)
    assert hand_in(stranger, "age", "x")[0] == 401
    guest = Visitor(somebody.run, sms)
    guest.cookie = control.core.principals.new_guest(tenant(control), dt.datetime.now(dt.UTC).microsecond)
    other = Visitor(somebody.run, sms)
    other.sign_up(next(PHONES))
    assert other.call("GET", "/v1/me/evidence")[1]["data"] == [], "another's is not seen"


@pytest.mark.parametrize("charset", ["punycode", "undefined", "utf-16", "idna"])
def test_no_charset_but_utf_8_is_taken(somebody: Visitor, charset: str) -> None:
    """With `punycode` the decoding of a field took the square of its length, on the loop of every request."""
    body = form("age", "-" + "b" * 180_000)
    kind = f"{KIND}; charset={charset}"
    status, answer, _ = somebody.call("POST", "/v1/me/evidence", body, content_type=kind)
    assert (status, answer["error"]["param"]) == (400, "content-type")
    kind = f"application/json; charset={charset}"
    assert somebody.call("POST", "/v1/me/evidence", b"{}", content_type=kind)[0] == 400
    kind = f"{KIND}; charset=UTF-8"
    assert somebody.call("POST", "/v1/me/evidence", form("age", "五月"), content_type=kind)[0] == 201, (
        "the negative control"
    )


HEAD = f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
END = f"--{BOUNDARY}--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        f'{HEAD}name="kind"\r\n\r\nage\r\n{HEAD}name="text"\r\n\r\n{"x" * 8193}\r\n{END}',
        f'{HEAD}name="kind"\r\n\r\nage\r\n{HEAD}name="kind"\r\n\r\nage\r\n{END}',
        "".join(f'{HEAD}name="{one}"\r\n\r\nage\r\n' for one in ("kind", "text", "a", "b", "c")) + END,
        f'{HEAD}name="kind"; x="{"y" * 5000}"\r\n\r\nage\r\n{HEAD}name="text"\r\n\r\nx\r\n{END}',
        f'before\r\n{HEAD}name="kind"\r\n\r\nage\r\n{HEAD}name="text"\r\n\r\nx\r\n{END}',
        f'{HEAD}name="kind"\r\n\r\nage\r\n{HEAD}name="text"\r\n\r\nx\r\n{END}after',
        f'{HEAD}name="kind"\r\n\r\nage\r\n--{BOUNDARY}\r\n\r\nx\r\n{END}',
        f"{HEAD}\r\n\r\nage\r\n{END}",
        f"--{BOUNDARY}\r\n{END}",
        "",
        "\r\n" * 40_000,
    ],
)
def test_a_form_that_is_not_one_of_ours_is_refused(somebody: Visitor, body: str) -> None:
    answer = somebody.call("POST", "/v1/me/evidence", body.encode(), content_type=KIND)[:2]
    assert (refusal(answer), answer[1]["error"]["param"]) == ((400, "invalid_value"), "body")
    latin = form("age", "x").replace(b"\r\n\r\nx", b"\r\n\r\n\xe9")
    assert somebody.call("POST", "/v1/me/evidence", latin, content_type=KIND)[0] == 400
    nowhere = KIND.partition(";")[0]
    assert somebody.call("POST", "/v1/me/evidence", form("age", "x"), content_type=nowhere)[0] == 400


@contextmanager
def half_sent(visitor: Visitor) -> Iterator[Callable[[], bytes]]:
    """A request whose body does not end; reads the head of what comes back."""
    head = {"host": "x", "dragoman-wire": "1", "content-type": "application/json", "content-length": "60000"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (head | visitor.identity()).items())
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.settimeout(30)
        raw.connect(str(visitor.run / "pages.sock"))
        raw.sendall(f"POST /v1/me/evidence HTTP/1.1\r\n{lines}\r\n{{".encode())
        yield lambda: raw.recv(4096)


def test_bodies_that_do_not_end_block_nobody_else(
    control: Control, somebody: Visitor, sms: FakeSms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest is told at once that it is nobody; a person keeps one place, its own, and not for long."""
    guest = Visitor(somebody.run, sms)
    guest.cookie = control.core.principals.new_guest(tenant(control), now_ms())
    with ExitStack() as open_:
        for _ in range(handing_in.AT_ONCE):
            assert open_.enter_context(half_sent(guest))().split()[1] == b"404"
        slow = Visitor(somebody.run, sms)
        slow.sign_up(next(PHONES))
        held = half_sent(slow)
        monkeypatch.setattr(handing_in, "BODY_SECONDS", 3.0)
        waiting = open_.enter_context(held)
        busy = (503, "uploads_busy")
        eventually("its place is taken", lambda: refusal(hand_in(slow, "passport")) == busy)
        for _ in range(3):
            handed_in(somebody, "age", "I am 20")
        assert waiting().split()[1] == b"408"
        assert hand_in(slow, "age", "I am 20")[0] == 201, "its place is free again"
    huge = form("age", "", ("a.pdf", b"%PDF-" + b"x" * (evidence.FILE_BYTES - 9)))
    told = guest.call("POST", "/v1/me/evidence", huge, content_type=KIND)[:2]
    assert refusal(told) == (404, "not_a_person")


def test_a_verified_residence_counts_until_its_day_and_against_another_word(
    control: Control, somebody: Visitor, operator: Browser
) -> None:
    made = handed_in(somebody, "residence", "lease")
    named = {"tenant": tenant(control), "evidence": made["id"]}
    assert (
        operator.post("/admin/v1/reviews/accept", {**named, "residence": "MY", "until": soon(0)}).status
        == 200
    )
    assert facts(control, somebody)["residence"] == "MY"
    status, placement, _ = somebody.call("PUT", "/v1/me/placement", {"residence": "TH"})
    assert status == 200
    assert placement["residence"]["country"] == "MY", "what was proved is proved anew"
    codes = {one["code"]: one["asks_for"] for one in placement["contradictions"]}
    assert codes["residence_verified"] == "evidence"
    assert placement["evidence_for"] == ["residence"]
    who = somebody.who()
    assert who is not None
    midnight = classes.over_at(Verified("residence", soon(0), "e"))
    assert who["expires"] <= midnight, "relays ask again when it is over"
    person = control.core.signed_up.known(who["principal"])
    assert person is not None
    assert "residence" not in classes.facts_of_person(person, midnight), (
        "unknown; the word was shown to be wrong"
    )
    told = placement_document(person, Address("TH", "residential"), midnight)
    assert told["residence"] == {"country": None, "subdivision": None, "known_by": None}
    assert "residence_verified" in [one["code"] for one in told["contradictions"]]
    back = dataclasses.replace(person, declared=Declared("MY"))
    assert classes.facts_of_person(back, midnight)["residence"] == "MY", "a word that evidence bore out"
    assert classes.facts_of_person(person, midnight)["account"] == "new"
    assert classes.facts_of_person(person, midnight - 1)["residence"] == "MY"


def test_facts_of_what_was_verified() -> None:
    phone = Phone("d", ("SG",), "mobile", "+65", "65", "SG")
    person = Person("t", "p", phone, 0, Declared("SG", "SG-01", None, 40), "", 0, 0)
    until = Verified("age", "2026-12-31", "e", least_age=18)
    now = classes.over_at(until) - 1
    shown = classes.facts_of_person(dataclasses.replace(person, verified=(until,)), now)
    assert (shown["age"], shown["age_source"]) == (18, "verified"), "no more than was verified"
    assert (shown["residence"], shown["residence_subdivision"], shown["account"]) == ("SG", "SG-01", "new")
    over = classes.facts_of_person(dataclasses.replace(person, verified=(until,)), now + 1)
    assert (over["age"], over["age_source"]) == (18, "declared"), "no older for that"
    home = Verified("residence", "2026-12-31", "e", country="SG")
    kept = dataclasses.replace(person, verified=(home,))
    assert "residence_subdivision" not in classes.facts_of_person(kept, now), "of it no part was verified"
    assert classes.facts_of_person(kept, now + 1)["residence_subdivision"] == "SG-01", "as a word it counts"
    part = dataclasses.replace(kept, verified=(dataclasses.replace(home, subdivision="SG-02"),))
    assert classes.facts_of_person(part, now)["residence_subdivision"] == "SG-02"
    assert "residence_subdivision" not in classes.facts_of_person(part, now + 1)
    moved = dataclasses.replace(person, verified=(dataclasses.replace(home, country="MY"),))
    assert "residence_subdivision" not in classes.facts_of_person(moved, now)


DAYS = st.dates(dt.date(1930, 1, 1), dt.date(2026, 12, 31)).map(dt.date.isoformat)
WORDS = st.builds(
    Declared,
    st.sampled_from([None, "CN", "US", "SG"]),
    st.none(),
    st.none() | DAYS,
    st.none() | st.integers(0, 99),
)


@given(WORDS, st.sampled_from(["CN", "US"]), st.none() | DAYS, st.integers(0, 99))
def test_that_something_is_over_makes_nobody_older_or_live_elsewhere(
    said: Declared, country: str, born: str | None, least: int
) -> None:
    home = Verified("residence", "2026-12-31", "e", country=country)
    age = Verified("age", "2026-12-31", "e", birth_date=born, least_age=None if born else least)
    person = Person("t", "p", None, 0, said, "", 0, 0, verified=(home, age))
    over = classes.over_at(home)
    before, after = (classes.facts_of_person(person, now) for now in (over - 1, over))
    assert after.get("residence") in {None, before["residence"]}
    assert (after["age"], after["age_source"]) == (before["age"], "declared")
    assert ("identity" in before, "identity" in after, after["account"]) == (True, False, "new")


def stored(control: Control, name: str) -> tuple[int, int]:
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        return tuple(  # type: ignore[return-value]
            raw.execute(f"SELECT count(*) FROM {table} WHERE evidence = ?", (name,)).fetchone()[0]
            for table in ("evidence", "evidence_files")
        )


def test_it_goes_after_its_time_and_with_its_person(
    control: Control, somebody: Visitor, operator: Browser, sms: FakeSms
) -> None:
    mark = b"a mark that nothing else has"
    old = handed_in(somebody, "age", "", ("a.pdf", PDF))
    kept = handed_in(somebody, "age", "", ("b.pdf", PDF + mark))
    waited = handed_in(somebody, "real_name", "", ("c.pdf", PDF))
    named = {"tenant": tenant(control), "evidence": old["id"]}
    assert (
        operator.post("/admin/v1/reviews/accept", {**named, "least_age": 21, "until": soon()}).status == 200
    )

    def age(connection: Any) -> None:
        connection.exec_driver_sql(
            "UPDATE evidence SET decided_at = decided_at - ?, at = at - ? WHERE evidence != ?",
            (191 * DAY_MS, 191 * DAY_MS, kept["id"]),
        )

    control.core.database.write(age)
    control.core.retention.run()
    assert stored(control, old["id"]) == (0, 0), "its days after it was decided on"
    assert stored(control, kept["id"]) == (1, 1), "what came today is not old"
    assert stored(control, waited["id"]) == (0, 0), "what nobody decided goes too"
    assert facts(control, somebody)["age_source"] == "verified", "what it showed holds until its own day"
    folder: Path = control.settings.zone.data
    assert any(mark in path.read_bytes() for path in folder.glob("zone.db*")), "the control"
    who = somebody.who()
    assert who is not None
    person = control.core.signed_up.known(who["principal"])
    assert person is not None
    assert person.phone is not None
    marks = (mark, person.phone.digest.encode(), person.recovery.encode())

    def held() -> set[bytes]:
        stored = b"".join(path.read_bytes() for path in folder.glob("zone.db*"))
        return {one for one in marks if one in stored}

    assert held() == set(marks), "the control"
    identity = somebody.identity()
    going = erasure.steps(control.core.conversations, who["tenant"], who["principal"])
    next(going)
    somebody.identity = lambda: identity  # type: ignore[method-assign]  # as a relay knew it before
    assert refusal(hand_in(somebody, "age", "mine")) == (403, "being_erased")
    taken = operator.post(
        "/admin/v1/reviews/accept", {**named, "evidence": kept["id"], "least_age": 21, "until": soon()}
    )
    assert taken.code == "evidence_not_found"
    for _ in going:
        pass
    assert refusal(hand_in(somebody, "age", "mine")) == (404, "not_a_person")
    del somebody.identity
    assert stored(control, kept["id"]) == (0, 0)
    assert somebody.who() is None, "its session is over, and opens no guest's either"
    assert control.core.signed_up.known(who["principal"]) is None
    eventually("file, number and recovery code left the disk", lambda: held() == set())
