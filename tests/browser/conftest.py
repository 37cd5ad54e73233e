"""The system's Chromium, and a visit that records what a page asks for and complains of."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = os.environ.get("DRAGOMAN_BROWSER") == "required"
GET = "Chromium is missing; get it with: apt-get install chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Visit:
    """A page, and what it asked for and complained of."""

    page: Any
    origin: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def foreign(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(self.origin)]

    def ask(self, question: str) -> None:
        """Type a question, send it, and wait for the finished answer."""
        self.page.fill("#q", question)
        self.page.click("#send")
        self.page.wait_for_selector(".finished", timeout=30_000)


Visiting = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        (pytest.fail if REQUIRED else pytest.skip)(GET)
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        it = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield it
        it.close()


@pytest.fixture
def visiting(browser: Any) -> Visiting:
    """`with visiting(origin, "zh", script=False) as visit`: a fresh profile; at its end nothing may be foreign."""

    @contextmanager
    def open_page(origin: str, language: str = "en", *, script: bool = True) -> Iterator[Visit]:
        locale = {"en": "en-GB", "zh": "zh-CN"}[language]
        context = browser.new_context(locale=locale, java_script_enabled=script)
        visit = Visit(context.new_page(), origin)
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on("console", lambda message: visit.complaints.append(message.text))
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        visit.page.goto(f"{origin}/?lang={language}")
        yield visit
        context.close()
        assert visit.requests
        assert visit.foreign() == []

    return open_page


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
