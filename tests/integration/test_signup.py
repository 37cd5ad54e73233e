"""Signing up over control's sockets and a gateway: codes once, bounded, told alike; people with their own placement."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from signup_client import Visitor, other, refusal

from dragoman.accounts import codes
from dragoman.control.app import Control
from dragoman.core.people import Person
from dragoman.ids import now_ms
from dragoman.testing.clock import FakeClock
from dragoman.testing.sms import HANG, LOST, RESET, FakeSms

NUMBERS = itertools.count(89)
CONFIG = """[zone]
data = "d"
[deployment]
name = "Lamps"
seat = "SG"
[sms]
url = "{url}"
key_file = "key"
sender = "LAMPS"
timeout_ms = 400
prefix_per_hour = {prefix}
breaker_unproven = 20
[limits_of_nobody]
"""


@pytest.fixture(scope="module")
def sms() -> Iterator[FakeSms]:
    with closing(FakeSms(key="secret-of-the-gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("s")
    (folder / "key").write_text("secret-of-the-gateway\n", encoding="utf-8")
    text = CONFIG.format(url=sms.url, prefix=400).replace("[limits_of_nobody]\n", "")
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


@pytest.fixture
def somebody(control: Control, sms: FakeSms) -> Visitor:
    return Visitor(control.settings.zone.data / "run", sms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, control: Control) -> FakeClock:
    """Control's own clock of sign-ups, moved by the test."""
    clock = FakeClock(now_ms())
    monkeypatch.setattr(control._signup, "_clock", clock)
    return clock


def number() -> str:
    """A number of a country's mobile range that no other test uses."""
    n = next(NUMBERS)
    return f"+658{10 + n % 89}{n // 89:05d}"


def stored(control: Control, query: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        return raw.execute(query, values).fetchall()


def age(control: Control, person: str, days: int) -> None:
    """Have the last proof of a person's number be some days older."""
    tenant = control.core.guest_tenant().tenant

    def work(rows: Any) -> None:
        held: Person = rows.person(person)
        rows.put_person(dataclasses.replace(held, proved_at=held.proved_at - days * 86_400_000))

    control.core.signed_up.submit(tenant, work).result()


def test_a_phone_becomes_a_person_with_a_session(control: Control, somebody: Visitor) -> None:
    phone = number()
    status, asked = somebody.ask(phone)
    assert (status, asked["object"], asked["code_digits"]) == (202, "signup.challenge", 6)
    assert asked["expires_at"] - asked["resend_at"] == 540
    (message,) = somebody.sms.sent(phone)
    assert (message.sender, message.id) == ("LAMPS", asked["id"])
    assert "Lamps" in message.text
    assert "10 minutes" in message.text
    status, made = somebody.verify(asked["id"], somebody.code(phone), residence="sg", least_age=18)
    assert (status, made["created"], len(made["recovery_code"])) == (200, True, 22)
    placement = made["placement"]
    assert placement["residence"] == {"country": "SG", "subdivision": None, "known_by": "declared"}
    assert placement["phone"]["countries"] == ["SG"]
    assert placement["in_play"] == [{"country": "SG", "by": ["residence", "address", "phone"]}]
    assert placement["contradictions"] == []
    who = somebody.who()
    assert who is not None
    assert (who["principal"], who["end_users"], who["key"]) == (made["id"], "placed", None)
    facts = control.core.classes.facts(who["class"])
    assert facts is not None
    assert (facts["residence"], facts["age"], facts["phone_verified"]) == ("SG", 18, True)
    assert phone[1:] not in json.dumps(dict(facts)), "no number in a class"
    again = Visitor(somebody.run, somebody.sms)
    assert again.who() is None
    assert refusal(again.verify(asked["id"], somebody.code(phone))) == (403, "code_not_accepted"), "once"


def test_neither_number_nor_code_is_stored(control: Control, somebody: Visitor) -> None:
    phone = number()
    _, asked = somebody.ask(phone)
    code = somebody.code(phone)
    somebody.verify(asked["id"], code)
    everything = b"".join(
        path.read_bytes() for path in control.settings.zone.data.rglob("*") if path.is_file()
    )
    assert asked["id"].encode() in everything, "the control: what is kept is found"
    assert phone[1:].encode() not in everything
    rows = stored(control, "SELECT * FROM phone_codes WHERE challenge = ?", asked["id"])
    assert code not in json.dumps(rows)


def test_whoever_returns_is_the_same_person(somebody: Visitor, clock: FakeClock) -> None:
    phone = number()
    first = somebody.sign_up(phone)
    clock.advance(codes.RESEND_MS)
    elsewhere = Visitor(somebody.run, somebody.sms)
    again = elsewhere.sign_up(phone, residence="FR")
    assert (again["id"], again["created"], again["recovery_code"]) == (first["id"], False, None)
    assert again["placement"]["residence"]["country"] is None, "signing in corrects nothing"


def test_who_enumerates_sees_no_difference(control: Control, somebody: Visitor, clock: FakeClock) -> None:
    known, unknown = number(), number()
    somebody.sign_up(known)
    clock.advance(codes.RESEND_MS)
    work = []
    for phone in (known, unknown):
        statements: list[str] = []
        with traced(control, statements):
            status, asked = somebody.ask(phone)
        work.append((status, shape(asked), len(somebody.sms.sent(phone)[-1].text), statements))
        wrong = somebody.verify(asked["id"], other(somebody.code(phone)))
        work[-1] += (wrong,)
    assert work[0] == work[1], "status, body, message, what the database is asked, refusal"
    assert all("people" not in one for one in work[0][3]), "nobody is looked for"
    # The negative control: a route that looks is seen.
    statements = []
    with traced(control, statements):
        control.core.signed_up.read(control.core.guest_tenant().tenant, lambda rows: rows.person_of("0" * 64))
        control.core.signed_up.submit(
            control.core.guest_tenant().tenant, lambda rows: rows.person_of("0" * 64)
        ).result()
    assert any("people" in one for one in statements)


class traced:
    """The statements that the zone's writer runs meanwhile, without values."""

    def __init__(self, control: Control, into: list[str]) -> None:
        self._control, self._into = control, into

    def _set(self, call: Any) -> None:
        def work(connection: Any) -> None:
            connection.connection.dbapi_connection.set_trace_callback(call)

        self._control.core.database.write(work)

    def __enter__(self) -> None:
        def keep(statement: str) -> None:
            if "phone_codes" in statement or "codes_sent" in statement or "people" in statement:
                words = statement.split()
                tables = [one for one in ("phone_codes", "codes_sent", "people") if one in " ".join(words)]
                self._into.append(" ".join([words[0], *tables]))

        self._set(keep)

    def __exit__(self, *_: object) -> None:
        self._set(None)


def shape(value: Any) -> Any:
    """A document without what differs by chance: ids and times."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return (type(value).__name__, len(value)) if isinstance(value, str) else type(value).__name__


def test_a_code_has_five_attempts(somebody: Visitor) -> None:
    phone = number()
    _, asked = somebody.ask(phone)
    code = somebody.code(phone)
    for _ in range(codes.ATTEMPTS):
        assert refusal(somebody.verify(asked["id"], other(code))) == (403, "code_not_accepted")
    assert refusal(somebody.verify(asked["id"], code)) == (403, "code_not_accepted"), (
        "the sixth, though right"
    )
    unknown = somebody.verify("chl_local_01a21a3e-da40-73a6-9dc3-e4c240ba3cf3", code)
    assert refusal(unknown) == (403, "code_not_accepted"), "a code of nobody's is told alike"


def test_a_code_is_over_after_ten_minutes(somebody: Visitor, clock: FakeClock) -> None:
    phone = number()
    _, asked = somebody.ask(phone)
    code, made = somebody.code(phone), clock.at
    for at in (made + codes.CODE_MS, made - codes.SKEW_MS - 1):
        clock.at = at
        assert refusal(somebody.verify(asked["id"], code)) == (403, "code_not_accepted")
    clock.at = made + codes.CODE_MS - 1
    assert somebody.verify(asked["id"], code)[0] == 200


def test_of_two_who_give_a_code_back_one_wins(control: Control, somebody: Visitor) -> None:
    for _ in range(10):
        phone = number()
        _, asked = somebody.ask(phone)
        code, barrier = somebody.code(phone), threading.Barrier(4)
        found: list[int] = []

        def give(name: str = asked["id"], code: str = code, barrier: threading.Barrier = barrier) -> None:
            one = Visitor(somebody.run, somebody.sms)
            barrier.wait()
            found.append(one.verify(name, code)[0])  # noqa: B023 - joined before the next round

        threads = [threading.Thread(target=give) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [200, 403, 403, 403]


def test_a_number_gets_so_many_codes(somebody: Visitor, clock: FakeClock) -> None:
    phone = number()
    sent = 0
    for n in range(codes.CODES_PER_DAY + 3):
        if n == codes.CODES_PER_HOUR:
            clock.advance(codes.HOUR_MS)
        status, body, headers = somebody.call("POST", "/v1/signup/phone", {"phone": phone})
        if status == 202:
            sent += 1
        else:
            assert (status, body["error"]["code"]) == (429, "too_many_codes")
            assert int(headers["retry-after"]) > 60
        if n == 0:
            early = somebody.call("POST", "/v1/signup/phone", {"phone": phone})
            assert (early[0], early[2]["retry-after"]) == (429, "60")
        clock.advance(codes.RESEND_MS)
    assert sent == codes.CODES_PER_DAY == len(somebody.sms.sent(phone))


def test_the_same_request_again_sends_no_second_code(somebody: Visitor) -> None:
    phone, key = number(), "a-key-that-nobody-else-has"
    first = somebody.ask(phone, idempotency_key=key)
    assert somebody.ask(phone, idempotency_key=key) == first
    assert len(somebody.sms.sent(phone)) == 1
    assert refusal(somebody.ask(phone, idempotency_key="another-key-of-the-same")) == (429, "too_many_codes")
    assert refusal(somebody.ask(number(), idempotency_key="short"))[0] == 400
    assert somebody.ask(number(), idempotency_key=key)[1]["id"] != first[1]["id"], (
        "another number's is another"
    )


@pytest.mark.parametrize(
    ("script", "status", "messages", "posts"),
    [([503], 202, 1, 2), ([LOST], 202, 1, 2), ([RESET, 202], 202, 1, 2), ([HANG], 202, 1, 2),
     ([400], 503, 0, 1), ([500, 500], 503, 0, 2), ([302, 302], 503, 0, 2)],
)  # fmt: skip
def test_a_gateway_that_fails(
    somebody: Visitor, clock: FakeClock, script: list[Any], status: int, messages: int, posts: int
) -> None:
    phone, before = number(), somebody.sms.posts
    somebody.sms.script[phone] = list(script)
    answer = somebody.ask(phone)
    assert answer[0] == status, answer
    assert (len(somebody.sms.sent(phone)), somebody.sms.posts - before) == (messages, posts)
    if status == 503:
        assert refusal(answer) == (503, "code_unsent")
        assert somebody.ask(phone)[0] == 202, "what did not go makes nobody wait"


def test_a_prefix_that_is_pumped_is_paused(somebody: Visitor, clock: FakeClock) -> None:
    # Not one of these codes is given back, so the prefix stops; another goes on, and the hour opens it again.
    pumped = [f"+4915{n:02d}{next(NUMBERS):07d}" for n in [11] * 21]
    answers = [somebody.ask(phone) for phone in pumped]
    assert [status for status, _ in answers[:20]] == [202] * 20
    assert refusal(answers[20]) == (503, "codes_paused")
    assert somebody.ask(f"+49160{next(NUMBERS):07d}")[0] == 202, "another prefix"
    clock.advance(2 * codes.HOUR_MS)
    assert somebody.ask(pumped[20])[0] == 202


def test_what_is_no_request_is_refused_by_name(somebody: Visitor) -> None:
    def asked(body: Any, **more: str) -> tuple[int, Any]:
        return somebody.call("POST", "/v1/signup/phone", body, **more)[:2]

    assert refusal(asked({"phone": "0151"})) == (400, "phone_invalid")
    assert refusal(asked({"phone": 7})) == (400, "phone_invalid")
    assert refusal(asked({"phone": "+49 30 123456"})) == (400, "phone_not_accepted")
    assert asked({"number": "+1"})[1]["error"]["param"] == "number"
    assert refusal(asked(b"phone=%2B49", content_type="application/x-www-form-urlencoded"))[0] == 400
    assert refusal(asked(b'{"phone": "+4915123456789"}', content_type="text/plain"))[0] == 400
    assert refusal(asked(b"[]")) == (400, "invalid_json")
    assert refusal(asked(b"x" * 70_000)) == (413, "body_too_large")
    for said in ({"residence": "XX"}, {"birth_date": "2999-01-01"}, {"least_age": -1}, {"code": ""}):
        answer = somebody.verify("chl_x", "1", **said) if "code" not in said else somebody.verify("c", "")
        assert answer[1]["error"]["param"] == next(iter(said))


def test_a_number_that_changed_hands_needs_a_second_proof(control: Control, somebody: Visitor) -> None:
    phone = number()
    first = somebody.sign_up(phone)

    def back(visitor: Visitor, **said: Any) -> tuple[int, Any]:
        control.core.database.write(lambda c: c.exec_driver_sql("DELETE FROM phone_codes"))
        _, asked = visitor.ask(phone)
        answer = visitor.verify(asked["id"], visitor.code(phone), **said)
        if answer[0] != 403:
            return answer
        # A right code stays good, for the second proof to come with it.
        assert refusal(visitor.verify(asked["id"], other(visitor.code(phone))))[1] == "code_not_accepted"
        return answer

    age(control, first["id"], 31)
    stranger = Visitor(somebody.run, somebody.sms)
    assert refusal(back(stranger)) == (403, "second_proof_needed")
    assert refusal(back(stranger, recovery_code="x" * 22)) == (403, "second_proof_wrong")
    assert stranger.cookie is None
    assert back(somebody)[1]["id"] == first["id"], "by the session that is still there"
    age(control, first["id"], 31)
    assert back(stranger, recovery_code=first["recovery_code"])[1]["id"] == first["id"]
    age(control, first["id"], 31)
    newcomer = Visitor(somebody.run, somebody.sms)
    status, made = back(newcomer, new_account=True)
    assert (status, made["created"]) == (200, True)
    assert made["id"] != first["id"]
    status, mine, _ = somebody.call("GET", "/v1/me/placement")
    assert (status, mine["phone"]) == (200, None)
    assert "phone" in [one["code"] for one in mine["unknown"]]


def test_what_is_fresh_is_not_taken_over(somebody: Visitor, clock: FakeClock) -> None:
    phone = number()
    first = somebody.sign_up(phone)
    clock.advance(codes.RESEND_MS)
    again = Visitor(somebody.run, somebody.sms).sign_up(phone, new_account=True)
    assert again["id"] == first["id"]


def test_people_see_and_correct_their_placement(control: Control, somebody: Visitor) -> None:
    made = somebody.sign_up(number(), residence="MY")
    codes_of = [one["code"] for one in made["placement"]["contradictions"]]
    assert codes_of == ["residence_phone", "residence_address"]
    before = somebody.who()
    assert before is not None
    status, after, _ = somebody.call(
        "PUT",
        "/v1/me/placement",
        {"residence": "us", "residence_subdivision": "us-ca", "birth_date": "2012-02-29"},
    )
    assert status == 200
    assert after["residence"] == {"country": "US", "subdivision": "US-CA", "known_by": "declared"}
    assert [one["country"] for one in after["in_play"]] == ["SG", "US"], "the phone's stays in play"
    now = somebody.who()
    assert now is not None
    assert now["class"] != before["class"]
    facts = control.core.classes.facts(now["class"])
    assert facts is not None
    assert (facts["residence_subdivision"], facts["age_source"]) == ("US-CA", "declared")
    assert somebody.call("GET", "/v1/me/placement")[1] == after
    published = stored(control, "SELECT tags FROM changes ORDER BY seq DESC LIMIT 1")
    assert made["id"] in published[0][0], "relays hear of it"
    somebody.address = {"country": None, "kind": "vpn", "peer": "remote"}
    unknown = somebody.call("GET", "/v1/me/placement")[1]
    assert "place" in [one["code"] for one in unknown["unknown"]]
    assert [one["country"] for one in unknown["in_play"]] == ["SG", "US"], "no address takes one away"
    wrong = somebody.call("PUT", "/v1/me/placement", {"residence": "DE", "residence_subdivision": "US-CA"})
    assert wrong[1]["error"]["param"] == "residence_subdivision"


def test_corrections_have_a_bound(somebody: Visitor) -> None:
    somebody.sign_up(number())
    answers = [somebody.call("PUT", "/v1/me/placement", {"least_age": 18 + n}) for n in range(21)]
    assert [one[0] for one in answers] == [200] * 20 + [429]


def test_what_is_not_of_a_person_is_not_shown(somebody: Visitor) -> None:
    assert somebody.call("GET", "/v1/me/placement")[0] == 401
    guest = {"dragoman_principal": "prn_local_x", "dragoman_tenant": "ten_local_x"}
    assert refusal(somebody.call("GET", "/v1/me/placement", **guest)[:2]) == (404, "not_a_person")


def test_sessions_end(somebody: Visitor) -> None:
    phone = number()
    somebody.sign_up(phone)
    held = somebody.cookie
    assert somebody.call("DELETE", "/v1/me/sessions")[0] == 204
    assert somebody.who() is None, "the cookie is over"
    assert somebody.call("GET", "/v1/me/placement")[0] == 401
    assert held == somebody.cookie


def test_the_law_may_keep_somebody_from_signing_up(control: Control, somebody: Visitor) -> None:
    phone = number()
    _, asked = somebody.ask(phone)
    status, told = somebody.verify(asked["id"], somebody.code(phone), residence="DE")
    assert (status, told["error"]["code"]) == (503, "signup_refused")
    assert told["error"]["reasons"][0]["citation"]["article"] == "27"
    assert told["error"]["appeal"].endswith(told["error"]["decision"])
    assert somebody.cookie is None
    kept = stored(control, "SELECT 1 FROM decisions WHERE decision = ?", told["error"]["decision"])
    assert kept == [(1,)], "it can be read and appealed"


def test_codes_and_windows_that_are_over_are_forgotten(control: Control, somebody: Visitor) -> None:
    somebody.ask(number())
    assert stored(control, "SELECT count(*) FROM codes_sent")[0][0] > 0
    later = now_ms() + 4 * 86_400_000
    while control.core.signed_up.forget(later, 7):
        pass
    for table in ("phone_codes", "codes_sent"):
        assert stored(control, f"SELECT count(*) FROM {table}") == [(0,)]


def test_without_a_gateway_nobody_signs_up(tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> None:
    folder: Path = tmp_path_factory.mktemp("n")
    (folder / "dragoman.toml").write_text('[zone]\ndata = "d"\n', encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    try:
        visitor = Visitor(control.settings.zone.data / "run", sms)
        assert refusal(visitor.ask(number())) == (404, "signup_closed")
        assert refusal(visitor.verify("chl_x", "123456")) == (404, "signup_closed")
    finally:
        control.stop()
