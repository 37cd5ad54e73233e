"""The system's Chromium, and a visit that records what a page asks for and complains of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
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
