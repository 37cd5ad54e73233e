"""Whoever signs up, over control's pages socket, as the relay passes them on."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from turns_control import Unix

from dragoman.control.relay_config import SESSION_COOKIE
from dragoman.testing.sms import FakeSms

COUNTRY = {"country": "SG", "kind": "residential", "peer": "remote"}


@dataclass(frozen=True)
class Page:
    """A page as a browser gets it."""

    status: int
    text: str
    headers: dict[str, str]

    def hidden(self, name: str, at: int = 0) -> str:
        """The value of a hidden field, of the form that is the nth to have one."""
        found = re.findall(f'<input type="hidden" name="{name}" value="([^"]*)">', self.text)
        return html.unescape(found[at])

    def wrong(self) -> list[str]:
        """Beside which fields something is said to be wrong."""
        return re.findall(r'<p id="wrong-([a-z_]+)" class="problem" role="alert">', self.text)


@dataclass
class Visitor:
    """Somebody at an address, with the session it was given last."""

    run: Path
    sms: FakeSms
    address: dict[str, Any] = field(default_factory=lambda: dict(COUNTRY))
    cookie: str | None = None
    lang: str = "en"

    def call(self, method: str, path: str, body: Any = None, **more: str) -> tuple[int, Any, dict[str, str]]:
        connection = Unix(self.run / "pages.sock")
        headers = {
            "dragoman-wire": "1",
            "dragoman-address": json.dumps(self.address),
            "dragoman-locale": self.lang,
            "content-type": "application/json",
            **self.identity(),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        connection.request(method, path, raw, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if data else None, dict(answer.getheaders())

    def page(
        self, method: str, path: str, fields: Mapping[str, str] | bytes | None = None, **more: str
    ) -> Page:
        """A page, or what a form of ours comes to, as a browser asks. The relay takes cookies off under `/v1`."""
        connection = Unix(self.run / "pages.sock")
        headers = {
            "dragoman-wire": "1",
            "dragoman-address": json.dumps(self.address),
            "dragoman-locale": self.lang,
            "accept": "text/html,*/*",
            "sec-fetch-site": "same-origin",
            **self.identity(),
            **({} if self.cookie is None or path.startswith("/v1/") else {"cookie": self._cookies()}),
            **({} if fields is None else {"content-type": "application/x-www-form-urlencoded"}),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        body = fields if fields is None or isinstance(fields, bytes) else urlencode(fields)
        connection.request(method, path, body, {name: one for name, one in headers.items() if one})
        answer = connection.getresponse()
        text, told = answer.read().decode(), dict(answer.getheaders())
        connection.close()
        self._keep(told.get("set-cookie", ""))
        return Page(answer.status, text, told)

    def _cookies(self) -> str:
        return f"{SESSION_COOKIE}={self.cookie}"

    def _keep(self, given: str) -> None:
        if given.startswith(f"{SESSION_COOKIE}="):
            assert "HttpOnly" in given
            assert "samesite=lax" in given.lower()
            self.cookie = given.partition("=")[2].partition(";")[0].strip('"') or None

    def identity(self) -> dict[str, str]:
        """What the relay says of a session: it asks control who that is."""
        who = self.who()
        if who is None:
            return {}
        return {f"dragoman-{name}": who[name] for name in ("principal", "tenant", "class")}

    def who(self) -> dict[str, Any] | None:
        """The answer to `POST /principal` for the session; None where there is none, or it is over."""
        if self.cookie is None:
            return None
        connection = Unix(self.run / "plan.sock")
        question = {"credential": {"kind": "session", "value": self.cookie}, "user_token": None}
        body = json.dumps({**question, "peer": "remote"})
        connection.request("POST", "/principal", body, {"dragoman-wire": "1"})
        answer = connection.getresponse()
        found = json.loads(answer.read())
        connection.close()
        return found if answer.status == 200 else None

    def ask(self, phone: str, **more: str) -> tuple[int, Any]:
        return self.call("POST", "/v1/signup/phone", {"phone": phone}, **more)[:2]

    def verify(self, challenge: str, code: str, **said: Any) -> tuple[int, Any]:
        body = {"challenge": challenge, "code": code, **said}
        status, document, headers = self.call("POST", "/v1/signup/verify", body)
        self._keep(headers.get("set-cookie", ""))
        return status, document

    def sign_up(self, phone: str, **said: Any) -> Any:
        status, asked = self.ask(phone)
        assert status == 202, asked
        status, made = self.verify(asked["id"], self.code(phone), **said)
        assert status == 200, made
        return made

    def code(self, phone: str) -> str:
        found = self.sms.code(phone.replace(" ", ""))
        assert found is not None
        return found


def other(code: str) -> str:
    """A wrong code."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


def refusal(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]
