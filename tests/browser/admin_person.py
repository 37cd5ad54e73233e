"""Administrators at a browser, each with a fresh profile and an authenticator of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WAIT_MS = 60_000
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@dataclass
class Person:
    """A browser profile with an authenticator of its own."""

    page: Any
    devtools: Any
    authenticator: str
    origin: str
    complaints: list[str] = field(default_factory=list)

    def enrol(self, link: str, title: str = "") -> None:
        self.page.goto(link)
        if title:
            self.page.fill("#title", title)
        self.page.click("form[data-passkey] button")
        self.page.wait_for_url(f"{self.origin}/", timeout=WAIT_MS)

    def log_in(self) -> None:
        self.page.goto(f"{self.origin}/login")
        self.page.click("form[data-passkey] button")
        self.page.wait_for_url(f"{self.origin}/", timeout=WAIT_MS)

    def drop(self, selector: str, files: Sequence[Path]) -> None:
        """Drag files or folders of this machine over a place and let go, as a hand does it."""
        box = self.page.locator(selector).bounding_box()
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 4}
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


Coming = Callable[..., Any]


def coming_to(browser: Any, origin: str) -> Coming:
    """`with coming_to(browser, origin)() as person`."""

    @contextmanager
    def come(**options: Any) -> Iterator[Person]:
        context = browser.new_context(**{"locale": "en-GB", **options})
        page = context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        made = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        person = Person(page, devtools, made["authenticatorId"], origin)
        page.on("console", lambda message: person.complaints.append(message.text))
        page.on("pageerror", lambda error: person.complaints.append(str(error)))
        yield person
        context.close()

    return come
