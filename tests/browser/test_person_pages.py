"""The pages `/signup` and `/me` in a browser: without script, by keys alone, in both languages, on phone and desk; and for everybody."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from axe_findings import both_schemes, findings
from browser_visit import SLOW_MS, Visiting
from keys import Keys

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

from dragoman.testing.sms import FakeSms
from dragoman.web.texts import TEXTS

pytestmark = pytest.mark.browser

CONFIG = """
[deployment]
name = "Lamps"
seat = "SG"
markets = ["SG"]
contact = "help@lamps.example"
[zones.eu]
address = "https://eu.example.org"
countries = ["CH"]
[sms]
url = "{url}"
key_file = "{key}"
"""
PHONES = (f"+658126{n:04d}" for n in itertools.count(1_000))
GERMAN = (f"+49151123{n:05d}" for n in itertools.count(10_000))
SIZES = {"phone": {"width": 375, "height": 812}, "desk": {"width": 1280, "height": 800}}
WIDE = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def sms() -> Iterator[FakeSms]:
    with closing(FakeSms(key="k")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("people")
    (folder / "key").write_text("k\n", encoding="utf-8")
    made = start(folder, CONFIG.format(url=sms.url, key=folder / "key"))
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def german(browser: Any, tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> Iterator[Server]:
    """Where the law asks for an age."""
    folder = tmp_path_factory.mktemp("german")
    (folder / "key").write_text("k\n", encoding="utf-8")
    config = CONFIG.format(url=sms.url, key=folder / "key").replace("SG", "DE")
    made = start(folder, config)
    yield made
    assert made.stop() == 0


def fits(page: Any) -> None:
    """Nothing is cut off to the right."""
    assert not page.evaluate(WIDE), page.url


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_signing_up_by_keys_alone_without_script(
    visiting: Visiting, server: Server, sms: FakeSms, language: str, size: str
) -> None:
    t, phone = TEXTS[language], next(PHONES)
    with visiting(server.url, language, script=False, viewport=SIZES[size], reduced_motion="reduce") as visit:
        page, keys = visit.page, Keys(visit.page)
        page.goto(f"{server.url}/signup")
        keys.to("#phone")
        keys.type("015")
        keys.press("Enter")
        page.locator("#wrong-phone").wait_for()
        fits(page)
        keys.to("#phone")
        keys.press("Control+A")
        keys.type(phone)
        keys.press("Enter")
        page.locator("#code").wait_for()
        fits(page)
        other = {"en": "zh", "zh": "en"}[language]
        keys.enter(f".languages [lang={other}]")
        page.get_by_role("heading", name=TEXTS[other]["signup_code_title"]).wait_for()
        keys.enter(f".languages [lang={language}]")
        page.get_by_role("heading", name=t["signup_code_title"]).wait_for()
        keys.to("#code")
        keys.type("000000" if sms.code(phone) != "000000" else "000001")
        keys.press("Enter")
        page.locator("#wrong-code").wait_for()
        fits(page)
        keys.to("#code")
        keys.press("Control+A")
        keys.type(str(sms.code(phone)))
        keys.to("#residence")
        if language == "en":
            keys.type("Singap")
        while page.input_value("#residence") != "SG":  # no input method writes into a list
            keys.press("ArrowDown")
        keys.to("#least_age")
        keys.type("20")
        keys.enter("form[action*=verify] button")
        page.get_by_role("heading", name=t["signup_done"]).wait_for()
        fits(page)
        assert len(page.locator(".recovery").inner_text()) == 22
        told = page.request.get(f"{server.url}/v1/me/placement").json()
        assert (told["residence"]["country"], told["age"]["least"]) == ("SG", 20)
        assert len(sms.sent(phone)) == 1, "a language sends no code"
        refused = [one for one in visit.complaints if "400" in one or "403" in one]
        assert len(refused) == 2, "the two that were wrong"
        assert visit.complaints == refused


def test_a_browser_sends_a_code_back_once_where_another_zone_is_named(
    visiting: Visiting, server: Server, sms: FakeSms
) -> None:
    phone = next(PHONES)
    with visiting(server.url, script=False) as visit:
        page = visit.page
        page.goto(f"{server.url}/signup")
        page.fill("#phone", phone)
        page.click("main form button")
        page.fill("#code", str(sms.code(phone)))
        page.select_option("#residence", "CH")
        page.click("form[action*=verify] button")
        link = page.get_by_role(
            "link", name=TEXTS["en"]["signup_elsewhere_link"].format(address="https://eu.example.org")
        )
        assert link.get_attribute("href") == "https://eu.example.org/signup"


def sign_up(page: Any, server: Server, sms: FakeSms, language: str, residence: str = "SG") -> None:
    """Be somebody new."""
    phone = next(PHONES)
    page.goto(f"{server.url}/signup?lang={language}")
    page.fill("#phone", phone)
    page.click("main form button")
    page.fill("#code", str(sms.code(phone)))
    page.select_option("#residence", residence)
    page.fill("#birth_date", "1990-05-31")
    page.click("form[action*=verify] button")
    page.get_by_role("heading", name=TEXTS[language]["signup_done"]).wait_for()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_known_is_read_corrected_and_left_by_keys_alone_without_script(
    visiting: Visiting, server: Server, sms: FakeSms, tmp_path: Path, language: str, size: str
) -> None:
    t = TEXTS[language]
    lease = tmp_path / "lease.pdf"
    lease.write_bytes(b"%PDF-1.7 a lease")
    with visiting(server.url, language, script=False, viewport=SIZES[size], reduced_motion="reduce") as visit:
        page, keys = visit.page, Keys(visit.page)
        keys.enter(".asking summary")
        keys.enter(".asking a[href='/me']")
        page.get_by_text(t["me_guest"]).wait_for()
        fits(page)
        keys.enter("main a[href='/signup']")
        page.locator("#phone").wait_for()
        sign_up(page, server, sms, language, "MY")
        keys.enter("main a[href='/me']")
        page.locator("#placed").wait_for()
        fits(page)
        keys.to("#residence")
        while page.input_value("#residence") != "SG":
            keys.press("ArrowDown")
        keys.enter("form[action='/me/placement'] button")
        page.get_by_role("status").filter(has_text=t["me_corrected"]).wait_for()
        fits(page)
        keys.to("#text")
        keys.type("My lease.")
        keys.to("#file")
        page.set_input_files("#file", lease)  # the system's own window
        keys.enter("form[action='/me/evidence'] button")
        page.get_by_role("status").filter(has_text=t["me_evidence_sent"]).wait_for()
        assert "lease.pdf" in page.locator(".handed").inner_text()
        fits(page)
        keys.enter("form[action='/me/sign-out'] button")
        page.get_by_role("status").filter(has_text=t["me_out_done"]).wait_for()
        assert page.request.get(f"{server.url}/v1/me/placement").status == 404, "a guest again"
        assert visit.complaints == []


@pytest.mark.parametrize(("language", "scheme", "size"), [("zh", "light", "desk"), ("en", "dark", "phone")])
def test_axe_finds_nothing_on_what_is_known(
    browser: Any, server: Server, sms: FakeSms, language: str, scheme: str, size: str
) -> None:
    found = []
    context = browser.new_context(locale={"en": "en-GB", "zh": "zh-CN"}[language], viewport=SIZES[size])
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{server.url}/me?lang={language}")
    assert page.locator("script").count() == 0, "what is looked at is what is there without script"
    found += both_schemes(page, scheme)
    sign_up(page, server, sms, language)
    page.goto(f"{server.url}/me")
    page.select_option("#residence", "US-CA")  # whose law wants something of the operator
    page.click("form[action='/me/placement'] button")
    page.fill("#text", "x")
    page.click("form[action='/me/evidence'] button")
    page.locator(".handed").wait_for()
    page.fill("#least_age", "x")
    page.click("form[action='/me/placement'] button")
    page.locator("#wrong-least_age").wait_for()
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert page.locator(".intervention").count() > 2
    found += both_schemes(page, scheme)
    assert found == []
    page.evaluate("document.querySelector('label[for=least_age]').remove()")
    assert any("label" in one for one in findings(page)), "the control: what is bad is found"
    context.close()


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_a_step_up_in_a_conversation_leads_a_person_to_its_page(
    visiting: Visiting, german: Server, sms: FakeSms, *, script: bool
) -> None:
    with visiting(german.url, script=script) as visit:
        page, phone = visit.page, next(GERMAN)
        link = page.locator(".finished a[href='/me#evidence']")
        visit.ask("How do I return an item?")
        assert link.count() == 0, "the control: a guest states it there"
        page.goto(f"{german.url}/signup")
        page.fill("#phone", phone)
        page.click("main form button")
        page.fill("#code", str(sms.code(phone)))
        page.select_option("#residence", "DE")
        page.click("form[action*=verify] button")
        page.get_by_role("heading", name=TEXTS["en"]["signup_asked"]).wait_for()
        page.goto(german.url)
        visit.ask("How do I return an item?")
        link.click()
        page.locator("#evidence").wait_for()
        assert TEXTS["en"]["me_STEP_UP"] in page.locator("main").inner_text()


@pytest.mark.parametrize(("language", "scheme", "size"), [("en", "light", "desk"), ("zh", "dark", "phone")])
def test_axe_finds_nothing_on_signing_up(
    browser: Any, server: Server, sms: FakeSms, language: str, scheme: str, size: str
) -> None:
    found, phone = [], next(PHONES)
    locale = {"en": "en-GB", "zh": "zh-CN"}[language]
    context = browser.new_context(locale=locale, viewport=SIZES[size])
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{server.url}/signup?lang={language}")
    assert page.locator("script").count() == 0, "what is looked at is what is there without script"
    found += both_schemes(page, scheme)
    page.locator("main form").evaluate("form => form.submit()")  # past the browser's own check: empty
    page.locator("#wrong-phone").wait_for()
    found += both_schemes(page, scheme)
    page.fill("#phone", phone)
    page.click("main form button")
    page.locator("#code").wait_for()
    found += both_schemes(page, scheme)
    page.fill("#least_age", "x")
    page.fill("#code", "1")
    page.click("form[action*=verify] button")
    page.locator("#wrong-least_age").wait_for()
    found += findings(page)
    page.fill("#least_age", "")
    page.fill("#code", str(sms.code(phone)))
    page.select_option("#residence", "DE")
    page.click("form[action*=verify] button")
    page.get_by_role("heading", name=TEXTS[language]["signup_refused"]).wait_for()
    found += both_schemes(page, scheme)
    assert found == []
    page.evaluate("document.querySelector('main a').textContent = ''")
    assert any("link-name" in one for one in findings(page)), "the control: what is bad is found"
    context.close()
