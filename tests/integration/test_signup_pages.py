"""The page `/signup` over control's sockets and a gateway: plain forms, what is wrong beside its field, nothing of other sites."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from signup_client import Page, Visitor, other, refusal

from dragoman.accounts import codes
from dragoman.control.app import Control
from dragoman.ids import now_ms
from dragoman.testing.clock import FakeClock
from dragoman.testing.sms import FakeSms
from dragoman.web.texts import TEXTS

PHONES = (f"+658125{n:04d}" for n in itertools.count(1_000))
CONFIG = """[zone]
data = "d"
country = "SG"
[zones.eu]
address = "https://eu.example.org"
countries = ["CH"]
[deployment]
name = "Lamps"
seat = "SG"
[sms]
url = "{url}"
key_file = "key"
"""
HOSTILE = "\"'><script>alert(1)</script>{{12345*54321}}</textarea>"
VERIFY, PHONE = "/v1/signup/verify?lang=en", "/v1/signup/phone?lang=en"


@contextmanager
def controlled(folder: Path, config: str) -> Iterator[Control]:
    (folder / "key").write_text("k\n", encoding="utf-8")
    (folder / "dragoman.toml").write_text(config, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    try:
        yield control
    finally:
        control.stop()


@pytest.fixture(scope="module")
def sms() -> Iterator[FakeSms]:
    with closing(FakeSms(key="k")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> Iterator[Control]:
    with controlled(tmp_path_factory.mktemp("p"), CONFIG.format(url=sms.url)) as control:
        yield control


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, control: Control) -> FakeClock:
    clock = FakeClock(now_ms())
    monkeypatch.setattr(control._signup, "_clock", clock)
    return clock


@pytest.fixture
def somebody(control: Control, sms: FakeSms) -> Visitor:
    visitor = Visitor(control.settings.zone.data / "run", sms)
    visitor.page("GET", "/signup")
    assert visitor.cookie is not None, "a guest's"
    return visitor


def asked(visitor: Visitor, phone: str) -> Page:
    start = visitor.page("GET", "/signup")
    assert start.status == 200
    page = visitor.page("POST", PHONE, {"once": start.hidden("once"), "phone": phone})
    assert page.status == 200, page.text
    return page


def given_back(visitor: Visitor, page: Page, phone: str, **said: str) -> Page:
    fields = {"challenge": page.hidden("challenge"), "phone": phone, "code": visitor.code(phone), **said}
    return visitor.page("POST", VERIFY, fields)


def test_a_person_signs_up_and_returns_by_forms_alone(somebody: Visitor, clock: FakeClock) -> None:
    phone, guest = next(PHONES), somebody.cookie
    page = asked(somebody, phone)
    assert phone in page.text
    said = {"residence": "SG", "birth_date": "1990-05-31"}
    done = given_back(somebody, page, phone, **said)
    assert done.status == 200
    recovery = re.findall(r'<code class="recovery">([0-9A-Za-z]{22})</code>', done.text)
    assert len(recovery) == 1
    assert somebody.cookie not in {None, guest}
    _, told, _ = somebody.call("GET", "/v1/me/placement")
    assert (told["residence"]["country"], told["age"]["birth_date"]) == ("SG", "1990-05-31")
    clock.advance(codes.RESEND_MS)
    again = Visitor(somebody.run, somebody.sms)
    answer = given_back(again, asked(again, phone), phone)
    assert (answer.status, answer.headers["location"]) == (303, "/me")
    assert again.call("GET", "/v1/me/placement")[1]["person"] == told["person"]
    known = somebody.page("GET", "/signup")
    assert TEXTS["en"]["signup_known"] in known.text


def test_what_was_chosen_on_the_entry_page_outlives_a_wrong_number(somebody: Visitor) -> None:
    refused = somebody.page("GET", "/?residence=US-CA").text
    assert 'class="arrived"' in refused
    assert 'href="/signup?' not in refused, "the law keeps out whoever lives there"
    start = somebody.page("GET", "/signup?residence=SG")
    wrong = somebody.page("POST", PHONE, {"phone": "12", "residence": start.hidden("residence")})
    assert (wrong.wrong(), wrong.hidden("residence")) == (["phone"], "SG")
    page = somebody.page("POST", PHONE, {"phone": next(PHONES), "residence": wrong.hidden("residence")})
    assert '<option value="SG" selected>' in page.text
    assert page.hidden("residence") == "SG", "another code is asked for with it too"
    for strange in ("XX", "sg", HOSTILE):
        assert somebody.page("GET", f"/signup?residence={quote(strange)}").hidden("residence") == ""


@pytest.mark.parametrize(
    "from_elsewhere",
    [{"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"},
     {"sec_fetch_site": "", "origin": "https://evil.example"}, {"sec_fetch_site": "", "origin": "null"}],
)  # fmt: skip
def test_a_form_of_another_site_does_nothing(somebody: Visitor, from_elsewhere: dict[str, str]) -> None:
    phone = next(PHONES)
    fields = {"once": "k" * 24, "phone": phone}
    assert somebody.page("POST", PHONE, fields, **from_elsewhere).status == 403
    assert somebody.sms.sent(phone) == []
    page = somebody.page("POST", PHONE, fields)
    assert (page.status, len(somebody.sms.sent(phone))) == (200, 1), "the control: our own form does it"
    fields = {"challenge": page.hidden("challenge"), "phone": phone, "code": somebody.code(phone)}
    before = somebody.cookie
    assert somebody.page("POST", VERIFY, fields, **from_elsewhere).status == 403
    assert somebody.cookie == before, "nobody is logged in as somebody else"
    assert somebody.page("POST", "/signup", fields, **from_elsewhere).status == 403
    assert somebody.page("POST", VERIFY, fields).status == 200


def test_a_form_without_a_page_is_refused_as_ever(somebody: Visitor) -> None:
    answer = somebody.call(
        "POST", "/v1/signup/phone", b"phone=%2B6581234567", content_type="application/x-www-form-urlencoded"
    )
    assert answer[0] == 400
    assert answer[1]["error"]["param"] == "content-type"


def test_the_same_form_again_sends_no_second_code(somebody: Visitor) -> None:
    phone, once = next(PHONES), "a-key-of-a-form-24-chars"
    first = somebody.page("POST", PHONE, {"once": once, "phone": phone})
    again = somebody.page("POST", PHONE, {"once": once, "phone": phone})
    assert (again.status, again.hidden("challenge")) == (200, first.hidden("challenge"))
    assert len(somebody.sms.sent(phone)) == 1
    # The button for another one, too early: what was sent can still be given back.
    fields = {"once": first.hidden("once"), "phone": phone, "challenge": first.hidden("challenge")}
    early = somebody.page("POST", PHONE, fields)
    assert (early.status, early.wrong()) == (429, ["phone"])
    assert 0 < int(early.headers["retry-after"]) <= 60
    assert re.search(r"In [0-9]+ seconds", early.text)
    assert early.hidden("challenge") == first.hidden("challenge")
    chinese = somebody.page("POST", "/signup?lang=zh", {**fields, "once": ""})
    assert (chinese.status, chinese.hidden("challenge")) == (200, first.hidden("challenge"))
    assert TEXTS["zh"]["signup_verify"] in chinese.text
    assert len(somebody.sms.sent(phone)) == 1
    assert given_back(somebody, chinese, phone).status == 200


def test_a_code_that_did_not_go_is_not_said_to_have_gone(somebody: Visitor) -> None:
    phone, fields = next(PHONES), {"once": "another-key-of-a-form-24"}
    somebody.sms.script[phone] = [400]
    for _ in range(2):
        page = somebody.page("POST", PHONE, {**fields, "phone": phone})
        assert (page.status, page.wrong()) == (503, ["phone"])
        assert "challenge" not in page.text
    assert asked(somebody, phone).hidden("challenge"), "the form of that page has a key of its own"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_wrong_stands_beside_its_field(somebody: Visitor, language: str) -> None:
    t, phone = TEXTS[language], next(PHONES)
    for number in ("", "015", "+49 30 123456"):
        page = somebody.page("POST", f"/v1/signup/phone?lang={language}", {"phone": number})
        assert (page.status, page.wrong()) == (400, ["phone"]), number
    page = somebody.page("POST", f"/v1/signup/phone?lang={language}", {"phone": phone})
    rows = [
        ({"code": ""}, "code"),
        ({"residence": "XX"}, "residence"),
        ({"residence": "US-CALIFORNIA"}, "residence"),
        ({"birth_date": "2999-01-01"}, "birth_date"),
        ({"least_age": "x"}, "least_age"),
        ({"least_age": "18", "birth_date": "1990-05-31"}, "least_age"),
    ]
    for said, at in rows:
        fields = {"challenge": page.hidden("challenge"), "phone": phone, "code": somebody.code(phone), **said}
        answer = somebody.page("POST", f"/v1/signup/verify?lang={language}", fields)
        assert (answer.status, answer.wrong()) == (400, [at]), said
        assert t[f"signup_wrong_{at}"] in answer.text
        assert f'aria-describedby="wrong-{at}' in answer.text
    fields = {"challenge": page.hidden("challenge"), "phone": phone, "code": other(somebody.code(phone))}
    wrong = somebody.page("POST", f"/v1/signup/verify?lang={language}", fields)
    assert (wrong.status, wrong.wrong()) == (403, ["code"])
    wide = "".join(chr(ord(one) - 48 + 0xFF10) for one in somebody.code(phone))
    done = somebody.page(
        "POST", f"/v1/signup/verify?lang={language}", {**fields, "code": f" {wide[:3]} {wide[3:]}"}
    )
    assert (done.status, t["signup_done"] in done.text) == (200, True), "as an input method writes digits"


def test_who_enumerates_sees_no_difference(somebody: Visitor, clock: FakeClock) -> None:
    known, unknown = next(PHONES), next(PHONES)
    given_back(somebody, asked(somebody, known), known)
    clock.advance(codes.RESEND_MS)
    pages = []
    for phone in (known, unknown):
        visitor = Visitor(somebody.run, somebody.sms)
        page = asked(visitor, phone)
        wrong = given_back(visitor, page, phone, code=other(visitor.code(phone)))
        pages.append(
            [
                re.sub(re.escape(phone) + "|" + other(visitor.code(phone)), "", _alike(one))
                for one in (page, wrong)
            ]
        )
    assert pages[0] == pages[1]
    assert pages[0][0] != pages[0][1], "the control: what differs is seen"


def _alike(page: Page) -> str:
    """A page without what differs by chance."""
    plain = re.sub(r'chl_[A-Za-z0-9_-]+|value="[A-Za-z0-9_-]{32}"', "", page.text)
    return f"{page.status} {re.sub('[0-9]{2}:[0-9]{2}:[0-9]{2} UTC', '', plain)}"


def test_hostile_text_stays_text(somebody: Visitor) -> None:
    phone = next(PHONES)
    pages = [somebody.page("POST", PHONE, {"phone": HOSTILE})]
    page = asked(somebody, phone)
    for name in ("code", "recovery_code", "residence", "birth_date", "least_age"):
        fields = {"challenge": page.hidden("challenge"), "phone": HOSTILE, "code": "1", name: HOSTILE}
        pages.append(somebody.page("POST", VERIFY, fields))
    pages.append(somebody.page("POST", VERIFY, {"challenge": HOSTILE, "code": HOSTILE}))
    for one in pages:
        assert one.status in {400, 403}
        assert "<script>alert" not in one.text
        assert "670592745" not in one.text
    assert "&lt;script&gt;alert" in pages[0].text, "the control: it is there, as text"
    assert somebody.page("POST", PHONE, b"phone=" + b"x" * 70_000).status == 413
    assert somebody.page("POST", PHONE, b"a=1&" * 30).status == 400
    assert somebody.page("POST", PHONE, b"phone=%ff%00%c0").status == 400


def test_a_number_that_changed_hands_asks_for_its_second_proof(
    control: Control, somebody: Visitor, clock: FakeClock
) -> None:
    phone = next(PHONES)
    first = given_back(somebody, asked(somebody, phone), phone)
    recovery = re.findall(r'"recovery">([0-9A-Za-z]{22})<', first.text)[0]
    person = somebody.call("GET", "/v1/me/placement")[1]["person"]

    def later() -> tuple[Visitor, Page]:
        clock.advance(31 * codes.DAY_MS)
        stranger = Visitor(somebody.run, somebody.sms)
        return stranger, asked(stranger, phone)

    stranger, page = later()
    assert "recovery_code" not in page.text, "before the code nothing tells that the number is known"
    needed = given_back(stranger, page, phone)
    assert (needed.status, needed.wrong()) == (403, ["recovery_code"])
    assert 'name="new_account"' in needed.text
    wrong = given_back(stranger, needed, phone, recovery_code="x" * 22)
    assert (wrong.status, wrong.wrong()) == (403, ["recovery_code"])
    assert given_back(stranger, wrong, phone, recovery_code=f" {recovery} ").headers["location"] == "/me"
    assert stranger.call("GET", "/v1/me/placement")[1]["person"] == person
    stranger, page = later()
    assert given_back(stranger, page, phone).status == 403
    assert given_back(stranger, page, phone, new_account="yes").status == 200
    assert stranger.call("GET", "/v1/me/placement")[1]["person"] != person


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_the_law_says_against_somebody_is_shown_with_its_source(
    somebody: Visitor, language: str
) -> None:
    phone, before = next(PHONES), somebody.cookie
    page = asked(somebody, phone)
    fields = {"challenge": page.hidden("challenge"), "code": somebody.code(phone), "residence": "DE"}
    refused = somebody.page("POST", f"/v1/signup/verify?lang={language}", fields)
    assert refused.status == 503
    assert somebody.cookie == before
    for said in (
        "<code>eu.gdpr.representative</code>",
        "GDPR, Regulation (EU) 2016/679",
        TEXTS[language]["lifts"],
    ):
        assert said in refused.text
    appeal = re.findall(r'href="(/appeal/dec_[a-z0-9_]+)"', refused.text)[0]
    read = somebody.page("GET", f"{appeal}?lang={language}")
    assert (read.status, "eu.gdpr.representative" in read.text) == (200, True)


def test_who_belongs_to_another_zone_is_shown_its_address(somebody: Visitor, clock: FakeClock) -> None:
    phone = next(PHONES)
    moved = given_back(somebody, asked(somebody, phone), phone, residence="CH")
    # Browsers send again what 421 answers, and the code would be used.
    assert moved.status == 403
    assert '<a href="https://eu.example.org/signup">' in moved.text
    assert "zone.eu" in moved.text
    clock.advance(codes.RESEND_MS)
    _, made = somebody.ask(phone)
    answer = somebody.verify(made["id"], somebody.code(phone), residence="CH")
    assert refusal(answer) == (421, "signup_elsewhere"), "the control: a program is told so"


def test_what_is_asked_next_is_shown_with_its_reason(
    somebody: Visitor, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    desk: Any = control._signup
    placed: Callable[..., dict[str, Any]] = desk.placement

    def stepped(*given: Any) -> dict[str, Any]:
        reason = {
            "rule_id": "xx.rule", "title": {"en": "Age", "zh": "年龄"}, "text": {"en": HOSTILE, "zh": "x"},
            "citation": {"source": "An Act", "article": "5", "url": "javascript:alert(1)"},
        }  # fmt: skip
        decision = {"reasons": [reason], "step_up": ["age_reliable"]}
        return {**placed(*given), "evidence_for": ["age"], "decision": decision}

    monkeypatch.setattr(desk, "placement", stepped)
    phone = next(PHONES)
    done = given_back(somebody, asked(somebody, phone), phone)
    for said in (TEXTS["en"]["signup_asked"], TEXTS["en"]["me_kind_of_age"], "xx.rule", "An Act, 5"):
        assert said in done.text
    assert "<script>alert" not in done.text
    assert "javascript:" not in done.text, "no page of the web, no link"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_a_gateway_the_page_says_so(
    tmp_path_factory: pytest.TempPathFactory, sms: FakeSms, language: str
) -> None:
    with controlled(tmp_path_factory.mktemp("n"), '[zone]\ndata = "d"\n') as closed:
        visitor = Visitor(closed.settings.zone.data / "run", sms)
        for page in (
            visitor.page("GET", f"/signup?lang={language}"),
            visitor.page("POST", f"/v1/signup/phone?lang={language}", {"phone": next(PHONES)}),
            visitor.page("POST", f"/v1/signup/verify?lang={language}", {"challenge": "chl_x", "code": "1"}),
        ):
            assert page.status == 404
            assert TEXTS[language]["signup_closed_why"] in page.text
            assert "<input" not in page.text


def test_what_the_entry_was_told_comes_along(somebody: Visitor) -> None:
    phone = next(PHONES)
    assert 'href="/signup?residence=SG"' in somebody.page("GET", "/?residence=SG").text
    start = somebody.page("GET", "/signup?residence=US-CA")
    fields = {name: start.hidden(name) for name in ("once", "residence")}
    code = somebody.page("POST", PHONE, {**fields, "phone": phone})
    assert '<option value="US-CA" selected>' in code.text
    for other_than_that in ("us", HOSTILE.replace(" ", ""), "US-CALIFORNIA"):
        assert somebody.page("GET", f"/signup?residence={other_than_that}").hidden("residence") == ""
