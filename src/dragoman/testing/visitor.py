"""A browser's part at the admin listener without a browser: cookie, origin, form token, and a fake passkey.

It follows no redirect and checks nothing: tests do.
"""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from dragoman.admin.sessions import COOKIE
from dragoman.testing.authenticator import FakeAuthenticator

TIMEOUT_S = 30


@dataclass
class Answer:
    """One answer; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a refusal, from JSON or from its page."""
        try:
            return str(self.json()["error"]["code"])
        except (ValueError, KeyError, TypeError):
            found = re.search(r"<code>([a-z_]+)</code>", self.body)
            return found[1] if found else None


@dataclass
class Visitor:
    """One browser at http://localhost:PORT."""

    port: int
    cookie: str | None = None
    csrf: str = ""
    source: str = "127.0.0.1"
    """The address it comes from."""
    origin: str = field(init=False)
    passkey: FakeAuthenticator = field(init=False)

    def __post_init__(self) -> None:
        self.origin = f"http://localhost:{self.port}"
        self.passkey = FakeAuthenticator(self.origin)

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        """One request with the cookie; an empty header value leaves that header out."""
        sent = {"host": f"localhost:{self.port}"}
        if self.cookie:
            sent["cookie"] = f"{COOKIE}={self.cookie}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=TIMEOUT_S, source_address=(self.source, 0)
        )
        connection.request(method, path, body, {name: value for name, value in sent.items() if value})
        answer = connection.getresponse()
        text = answer.read().decode()
        told = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        found = re.match(rf"{COOKIE}=([^;]*)", told.get("set-cookie", ""))
        if found:
            self.cookie = found[1].strip('"') or None
        return Answer(answer.status, told, text)

    def page(self, path: str, **headers: str) -> Answer:
        """Look at a page, and keep its form token."""
        answer = self.ask("GET", path, accept="text/html", **headers)
        token = re.search(r'(?:data-csrf|name="csrf" value)="([^"]+)"', answer.body)
        if token:
            self.csrf = token[1]
        return answer

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """What a script of ours sends."""
        own = {"origin": self.origin, "content_type": "application/json", "x_csrf_token": self.csrf}
        return self.ask("POST", path, json.dumps(body), **{**own, **headers})

    def form(self, path: str, **fields: Any) -> Answer:
        """What a form of ours sends."""
        body = urlencode({"csrf": self.csrf, **fields})
        kind = "application/x-www-form-urlencoded"
        return self.ask("POST", path, body, origin=self.origin, content_type=kind, accept="text/html")

    def enrol(self, link: str) -> Answer:
        """Open a one-time link and make the passkey."""
        self.page("/enrol")
        began = self.post("/enrol/options", {"link": link.partition("#")[2]})
        if began.status != http.client.OK:
            return began
        made = self.passkey.create(began.json()["options"])
        done = self.post("/enrol/passkey", {"credential": made, "title": "laptop"})
        self.page("/")
        return done

    def prove(self, base: str = "/login", page: str | None = None) -> Answer:
        """Log in, or prove to be there with base="/confirm"."""
        self.page(page or base)
        began = self.post(f"{base}/options", {})
        if began.status != http.client.OK:
            return began
        got = self.passkey.get(began.json()["options"])
        done = self.post(f"{base}/passkey", {"credential": got, "next": "/keys"})
        self.page("/")
        return done
