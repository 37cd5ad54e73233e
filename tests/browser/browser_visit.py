"""The system's Chromium, and a visit that records what a page asks for and complains of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = os.environ.get("DRAGOMAN_BROWSER") == "required"
GET = "Chromium is missing; get it with: apt-get install chromium"
SLOW_MS = 60_000
"""What a busy machine may take for one step; a step that is right takes milliseconds."""
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
        self.page.wait_for_selector(".finished")
        self.page.wait_for_load_state("load")  # without script the answer is part of the document


Visiting = Callable[..., Any]


def visits_by(browser: Any) -> Visiting:
    """`with visits_by(browser)(origin, "zh", script=False) as visit`: a fresh profile; at its end nothing may be foreign.

    Further options are those of a Playwright context.
    """

    @contextmanager
    def open_page(
        origin: str, language: str = "en", *, script: bool = True, **options: Any
    ) -> Iterator[Visit]:
        locale = {"en": "en-GB", "zh": "zh-CN"}[language]
        context = browser.new_context(locale=locale, java_script_enabled=script, **options)
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
