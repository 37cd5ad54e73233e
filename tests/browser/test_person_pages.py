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
