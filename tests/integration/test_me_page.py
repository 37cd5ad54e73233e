"""The page `/me` over control's sockets: what is known and from what, corrected; evidence; what is kept; the way out."""

from __future__ import annotations

import datetime as dt
import html
import itertools
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from signup_client import Visitor
from test_evidence import PDF, form
from test_signup_pages import HOSTILE, asked, controlled, given_back

from dragoman.accounts import evidence
from dragoman.assistants.texts import refused
from dragoman.control.app import Control
from dragoman.core.evidence import Verdict
from dragoman.core.people import Verified
from dragoman.ids import now_ms
from dragoman.testing.multipart import KIND
from dragoman.testing.sms import FakeSms
from dragoman.web.texts import TEXTS

PHONES = (f"+658127{n:04d}" for n in itertools.count(1_000))
CONFIG = """[zone]
data = "d"
[deployment]
name = "Lamps"
seat = "{seat}"
markets = ["{seat}"]
contact = "help@lamps.example <b>"
[sms]
url = "{url}"
key_file = "key"
[retention]
evidence_days = 193
"""
ELSEWHERE = {"sec_fetch_site": "cross-site"}


@pytest.fixture(scope="module")
def sms() -> Iterator[FakeSms]:
    with closing(FakeSms(key="k")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> Iterator[Control]:
    with controlled(tmp_path_factory.mktemp("m"), CONFIG.format(seat="SG", url=sms.url)) as control:
        yield control


@pytest.fixture
def guest(control: Control, sms: FakeSms) -> Visitor:
    visitor = Visitor(control.settings.zone.data / "run", sms)
    visitor.page("GET", "/me")
    return visitor


@pytest.fixture
def somebody(guest: Visitor) -> Visitor:
    phone = next(PHONES)
    assert given_back(guest, asked(guest, phone), phone, residence="MY", least_age="20").status == 200
    return guest


def placement(visitor: Visitor) -> Any:
    return visitor.call("GET", "/v1/me/placement")[1]


def signals(text: str) -> dict[str, tuple[str, str]]:
    """What a page shows as known, by what: its value, and why."""
    found = re.findall(r'<dt>(.*?)</dt><dd><strong>(.*?)</strong></dd><dd class="small">(.*?)</dd>', text)
    return {name: (html.unescape(value), html.unescape(why)) for name, value, why in found}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_guest_sees_what_is_known_of_a_guest(guest: Visitor, language: str) -> None:
    t = TEXTS[language]
    page = guest.page("GET", f"/me?lang={language}")
    assert page.status == 200
    assert t["me_guest"] in page.text
    assert 'href="/signup"' in page.text
    shown = signals(page.text)
    assert [shown[t[f"me_{one}"]][0] for one in ("residence", "age", "phone")] == [t["me_unknown"]] * 3
    country, why = shown[t["me_address"]]
    assert "(SG)" in country
    assert t["me_shows"] in why
    assert 'action="/me/' not in page.text, "nothing of an account"
    guest.page("POST", "/declare", {"back": "/me", "residence": "FR", "age": "34"})
    stated = signals(guest.page("GET", f"/me?lang={language}").text)
    assert "(FR)" in stated[t["me_residence"]][0]
    assert stated[t["me_age"]][1] == t["me_by_guest"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_person_sees_each_signal_with_its_reason(somebody: Visitor, language: str) -> None:
    t, today = TEXTS[language], f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    page = somebody.page("GET", f"/me?lang={language}")
    shown = signals(page.text)
    told = placement(somebody)
    assert told["person"] in page.text
    residence, age, phone = (shown[t[f"me_{one}"]] for one in ("residence", "age", "phone"))
    assert "(MY)" in residence[0]
    assert residence[1] == t["me_by_declared"].format(at=today)
    assert age[0] == t["me_at_least"].format(n=20)
    assert "(SG)" in phone[0]
    assert phone[1] == t["me_by_code"].format(at=today, kind=t["me_kind_mobile"])
    codes = [one["code"] for one in told["contradictions"]]
    assert codes == ["residence_phone", "residence_address"]
    for one in (*told["contradictions"], *told["unknown"]):
        assert html.escape(one["text"][language]) in page.text
    for one in told["in_play"]:
        assert f"({one['country']})" in page.text
    assert t["me_kept_days"].format(n=193) in page.text, "as the operator set it"
    assert "help@lamps.example &lt;b&gt;" in page.text
    assert "+65812" not in page.text, "no number is kept, so none is shown"
    somebody.address = {"country": None, "kind": "vpn", "peer": "remote"}
    away = signals(somebody.page("GET", f"/me?lang={language}").text)[t["me_address"]]
    assert away[0] == t["me_unknown"]
    assert t["me_shows_not"] in away[1]


def test_what_a_person_says_is_corrected(somebody: Visitor) -> None:
    said = {"residence": "US-CA", "birth_date": "1990-05-31", "least_age": ""}
    assert somebody.page("POST", "/me/placement", said, **ELSEWHERE).status == 403
    assert placement(somebody)["residence"]["country"] == "MY", "another site changes nothing"
    done = somebody.page("POST", "/me/placement", said)
    assert (done.status, done.headers["location"]) == (303, "/me?done=corrected#correct")
    told = placement(somebody)
    assert told["residence"] == {"country": "US", "subdivision": "US-CA", "known_by": "declared"}
    assert told["age"]["birth_date"] == "1990-05-31"
    page = somebody.page("GET", "/me?done=corrected")
    assert TEXTS["en"]["me_corrected"] in page.text
    assert '<option value="US-CA" selected>' in page.text
    for wrong, at in (
        ({"birth_date": "2999-01-01"}, "birth_date"),
        ({"residence": "XX"}, "residence"),
        ({"least_age": HOSTILE}, "least_age"),
    ):
        page = somebody.page("POST", "/me/placement", {"residence": "SG", **wrong})
        assert (page.status, page.wrong()) == (400, [at])
        assert "<script>alert" not in page.text
        assert at != "least_age" or "&lt;script&gt;alert" in page.text, "what was typed stays, as text"
    assert placement(somebody) == told, "what was wrong changed nothing"
    for n in range(19):
        assert somebody.page("POST", "/me/placement", {"least_age": str(18 + n)}).status == 303
    full = somebody.page("POST", "/me/placement", {"least_age": "50"})
    assert (full.status, full.wrong()) == (429, ["form"])
    assert int(full.headers["retry-after"]) > 0


def test_a_guest_has_nothing_to_correct(guest: Visitor) -> None:
    page = guest.page("POST", "/me/placement", {"least_age": "20"})
    assert (page.status, page.wrong()) == (404, ["form"])
    page = guest.page("POST", "/me/evidence", form("age", "x"), content_type=KIND)
    assert (page.status, page.wrong()) == (404, ["form"])


def decide(control: Control, visitor: Visitor, *verified: Verified, reason: str | None = None) -> None:
    tenant = control.core.guest_tenant().tenant
    name = visitor.call("GET", "/v1/me/evidence")[1]["data"][0]["id"]
    found = Verdict(verified, reason)
    control.core.evidence.submit(
        tenant, lambda rows: evidence.decide(rows, name, found, "adm", now_ms())
    ).result()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_evidence_is_handed_in_and_its_state_is_shown(
    control: Control, somebody: Visitor, language: str
) -> None:
    t = TEXTS[language]

    def hand_in(*given: Any, **more: str) -> Any:
        return somebody.page("POST", f"/me/evidence?lang={language}", form(*given), content_type=KIND, **more)

    def listed() -> list[Any]:
        found: list[Any] = somebody.call("GET", "/v1/me/evidence")[1]["data"]
        return found

    assert (
        t["me_kind_of_residence"]
        in somebody.page("GET", f"/me?lang={language}").text.partition('id="evidence"')[2]
    )
    assert hand_in("residence", "x", **ELSEWHERE).status == 403
    assert listed() == [], "another site hands in nothing"
    for given, at in (
        (("residence", ""), "text"),
        (("nothing", "x"), "kind"),
        (("residence", "", ("a.exe", b"MZ")), "file"),
        (("residence", "x" * 2_001), "text"),
    ):
        wrong = hand_in(*given)
        assert (wrong.status, wrong.wrong()) == (400, [at]), given[0]
        assert html.escape(t[f"signup_wrong_{at}"]) in wrong.text
    assert listed() == []
    done = hand_in("residence", HOSTILE, (f"{HOSTILE.replace('/', '')}.pdf", PDF))
    assert done.headers["location"] == "/me?done=evidence_sent#evidence"
    page = somebody.page("GET", f"/me?lang={language}")
    assert t["me_state_waiting"] in page.text
    assert "<script>alert" not in page.text
    assert page.text.count("&lt;script&gt;alert") == 2, "text and name are there, as text"
    until = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=90)).isoformat()
    name = listed()[0]["id"]
    decide(control, somebody, Verified("residence", until, name, country="SG"))
    page = somebody.page("GET", f"/me?lang={language}")
    assert t["me_state_accepted"] in page.text
    assert signals(page.text)[t["me_residence"]][1] == t["me_by_verified"].format(until=until)
    assert html.escape("You say that you live elsewhere") in page.text or language == "zh"
    decide(control, somebody, reason=f"Not readable {HOSTILE}")
    page = somebody.page("GET", f"/me?lang={language}")
    assert t["me_state_rejected"] in page.text
    assert "Not readable" in page.text
    assert "<script>alert" not in page.text


def test_signing_out_ends_every_session(somebody: Visitor) -> None:
    other = Visitor(somebody.run, somebody.sms, cookie=somebody.cookie)
    assert somebody.page("POST", "/me/sign-out", {}, **ELSEWHERE).status == 403
    assert other.who() is not None, "another site signs nobody out"
    done = somebody.page("POST", "/me/sign-out", {})
    assert (done.status, done.headers["location"]) == (303, "/me?done=out_done")
    assert somebody.cookie is None, "the cookie is taken away"
    assert other.who() is None, "and is over"
    page = other.page("GET", "/me?done=out_done")
    assert TEXTS["en"]["me_guest"] in page.text
    assert TEXTS["en"]["me_out_done"] in page.text


@pytest.mark.parametrize("why", ["erasing", "moving"])
def test_who_is_leaving_is_shown_nothing_and_changes_nothing(
    control: Control, somebody: Visitor, why: str
) -> None:
    """The relay says nothing of such a caller, but its cookie still comes along."""
    person, before = placement(somebody)["person"], row(control, somebody)
    mark = (control.core.guest_tenant().tenant, f"{why}:{person}")

    def write(statement: str, *values: str) -> None:
        control.core.database.write(lambda c: c.exec_driver_sql(statement, values))

    write("INSERT INTO zone_meta (tenant, name, value) VALUES (?, ?, '')", *mark)
    code = {"erasing": "being_erased", "moving": "being_moved"}[why]
    said = html.escape(refused(code).text["en"])
    answers = [
        somebody.page("GET", "/me"),
        somebody.page("POST", "/me/placement", {"residence": "US-CA"}),
        somebody.page("POST", "/me/evidence", form("age", "x"), content_type=KIND),
    ]
    for one in answers:
        assert (one.status, said in one.text) == (403, True)
        assert person not in one.text
    leaver = Visitor(somebody.run, somebody.sms, cookie=somebody.cookie)
    out = leaver.page("POST", "/me/sign-out", {})
    assert (out.status, out.headers["location"], leaver.cookie) == (303, "/me", None), "the cookie goes"
    assert leaver.page("GET", "/me").status == 200, "as a guest's"
    assert row(control, somebody) == before
    write("DELETE FROM zone_meta WHERE tenant = ? AND name = ?", *mark)
    assert somebody.page("POST", "/me/placement", {"residence": "US-CA"}).status == 303, "the control"
    assert row(control, somebody) != before


def row(control: Control, visitor: Visitor) -> Any:
    """All that the database has of a person."""
    assert visitor.cookie is not None
    person = visitor.cookie.split(".")[2]
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        query = "SELECT p.*, (SELECT count(*) FROM evidence) FROM people p WHERE person = ?"
        return raw.execute(query, (person,)).fetchall()


def test_nothing_is_said_to_be_done_that_was_not(somebody: Visitor) -> None:
    for done in ("out_done", HOSTILE, "guest"):
        page = somebody.page("GET", f"/me?done={done.replace(' ', '')}")
        assert 'role="status"' not in page.text
        assert "<script>alert" not in page.text
    assert 'role="status"' in somebody.page("GET", "/me?done=corrected").text, "the control"


def test_a_step_up_is_shown_with_rule_source_and_form(
    tmp_path_factory: pytest.TempPathFactory, sms: FakeSms
) -> None:
    with controlled(tmp_path_factory.mktemp("de"), CONFIG.format(seat="DE", url=sms.url)) as german:
        visitor = Visitor(german.settings.zone.data / "run", sms)
        visitor.address = {"country": "DE", "kind": "residential", "peer": "remote"}
        phone = "+4915112345678"
        done = given_back(visitor, asked(visitor, phone), phone, residence="DE")
        page = visitor.page("GET", "/me")
        told = placement(visitor)
        assert (told["decision"]["outcome"], told["evidence_for"]) == ("STEP_UP", ["age"])
        for one in (done, page):
            assert "eu.gdpr.child" in one.text
            assert "GDPR, Regulation (EU) 2016/679" in one.text
            assert TEXTS["en"]["me_kind_of_age"] in one.text
        assert TEXTS["en"]["me_STEP_UP"] in page.text
        assert '<option value="age" selected>' in page.text
        # What the person says lifts it here, and the page says so.
        visitor.page("POST", "/me/placement", {"residence": "DE", "birth_date": "1990-05-31"})
        assert TEXTS["en"]["me_STEP_UP"] not in visitor.page("GET", "/me").text


def test_without_a_gateway_the_page_says_so(tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> None:
    with controlled(tmp_path_factory.mktemp("n"), '[zone]\ndata = "d"\n') as closed:
        visitor = Visitor(closed.settings.zone.data / "run", sms)
        page = visitor.page("GET", "/me")
        assert TEXTS["en"]["me_closed"] in page.text
        assert "/signup" not in page.text
        assert 'href="/me"' in visitor.page("GET", "/").text


def test_every_outcome_and_kind_has_its_words() -> None:
    outcomes = ("ALLOW", "ALLOW_WITH", "DENY", "NOT_READY", "STEP_UP", "HANDOFF", "ROUTE")
    names = [f"me_{one}" for one in outcomes]
    names += [f"me_kind_of_{one}" for one in evidence.KINDS] + [f"me_fact_{one}" for one in evidence.KINDS]
    names += [f"me_state_{one}" for one in ("waiting", "accepted", "rejected")]
    names += [f"me_kind_{one}" for one in ("mobile", "voip", "unknown")]
    for texts in TEXTS.values():
        assert all(texts[one] for one in names)
    assert set(TEXTS["en"]) == set(TEXTS["zh"])
