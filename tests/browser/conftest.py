"""The system's Chromium, and visits to a page with a fresh profile each."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from browser_visit import ARGUMENTS, CHROMIUM, GET, REQUIRED, Visiting, visits_by


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
    """Visits to a page with a fresh profile each."""
    return visits_by(browser)
