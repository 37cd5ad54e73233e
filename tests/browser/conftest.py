"""The system's Chromium, and visits to a page with a fresh profile each."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from browser_visit import ARGUMENTS, CHROMIUM, GET, REQUIRED, SLOW_MS, Visit, Visiting


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        (pytest.fail if REQUIRED else pytest.skip)(GET)
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        it = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield it
        finally:
            it.close()


@pytest.fixture
def visiting(browser: Any) -> Visiting:
    """`with visiting(origin, "zh", script=False) as visit`: a fresh profile; at its end nothing may be foreign."""

    @contextmanager
    def open_page(origin: str, language: str = "en", *, script: bool = True) -> Iterator[Visit]:
        locale = {"en": "en-GB", "zh": "zh-CN"}[language]
        context = browser.new_context(locale=locale, java_script_enabled=script)
        context.set_default_timeout(SLOW_MS)
        visit = Visit(context.new_page(), origin)
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on("console", lambda message: visit.complaints.append(message.text))
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        visit.page.goto(f"{origin}/?lang={language}")
        try:
            yield visit
        finally:
            context.close()
        assert visit.requests
        assert visit.foreign() == []

    return open_page
