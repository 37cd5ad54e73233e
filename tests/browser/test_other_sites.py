"""A page of another site in the browser of who is logged in to chat and administration: each attack is a row.

Every row succeeds against a server that trusts whoever asks, or it would show nothing, and against neither of ours.
Names of the attacker lead to this machine, as after a rebinding of DNS.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from admin_person import AUTHENTICATOR
from browser_visit import ARGUMENTS, CHROMIUM, GET, REQUIRED, SLOW_MS
from open_server import SECRET, open_server

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

pytestmark = pytest.mark.browser

EVIL = "evil.example"
OPENED = [
    *ARGUMENTS,
    f"--host-resolver-rules=MAP {EVIL} 127.0.0.1",
    # What the browser itself holds back from a page of the network is not what is tried here.
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,HttpsUpgrades",
    "--disable-popup-blocking",
]
FORM, PLAIN = "application/x-www-form-urlencoded", "text/plain"
SUBMIT = """([url, kind, body]) => {
  const form = document.body.appendChild(document.createElement("form"));
  [form.method, form.action, form.enctype] = ["post", url, kind];
  for (const [name, value] of new URLSearchParams(kind === "text/plain" ? "" : body)) {
    const field = form.appendChild(document.createElement("input"));
    [field.name, field.value] = [name, value];
  }
  if (kind === "text/plain") {
    const field = form.appendChild(document.createElement("input"));
    [field.name, field.value] = [body.slice(0, -1) + ', "x": "', '"}'];
  }
  form.submit();
}"""
SANDBOXED = """([url, kind, body]) => {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts allow-forms";
  const fields = [...new URLSearchParams(body)].map(([n, v]) => `<input name="${n}" value="${v}">`).join("");
  frame.srcdoc = `<form method=post action="${url}">${fields}</form><script>document.forms[0].submit()</script>`;
  document.body.append(frame);
}"""
FETCH = """([url, options]) => fetch(url, options).then((answer) => answer.text(), () => "")"""
FRAME = """(url) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.onload = done;
  frame.src = url;
  document.body.append(frame);
})"""
SOCKET = """(url) => new Promise((done) => {
  const socket = new WebSocket(url);
  socket.onopen = () => done(true);
  socket.onerror = () => done(false);
})"""


@dataclass(frozen=True)
class Target:
    """A server, what stands on its pages and nowhere else, and what changes something: (path, content type, body)."""

    origin: str
    markers: tuple[str, ...]
    writes: tuple[tuple[str, str, str], ...]

    @property
    def port(self) -> str:
        return self.origin.rpartition(":")[2]

    def has(self, texts: Iterable[str]) -> bool:
        """Whether one of these was read there."""
        return any(marker in text for text in texts for marker in self.markers)


@dataclass
class Attack:
    """The attacker's page, in the victim's browser, and what came back to whom it asked."""

    context: Any
    home: str
    answers: list[tuple[str, str, int]]

    def page(self, origin: str | None = None) -> Any:
        """A fresh page of the attacker; with `origin`, at that address, as the attacker's own server had it before."""
        page = self.context.new_page()
        page.set_default_timeout(SLOW_MS)
        if origin is not None:
            page.route(
                f"{origin}/bait", lambda route: route.fulfill(body="<p>bait", content_type="text/html")
            )
        page.goto(f"{origin or self.home}/bait")
        return page

    def taken(self, target: Target) -> bool:
        """Whether something that changes was taken since this was last asked; what the browser hides is in `state`."""
        done = [
            status for method, url, status in self.answers if method != "GET" and f":{target.port}/" in url
        ]
        self.answers.clear()
        assert done, "nothing was tried"
        return any(0 < status < 300 or status == 303 for status in done)


Row = Callable[[Attack, Target], bool]


def _posted(attack: Attack, target: Target, way: str = "{}") -> bool:
    for path, kind, body in target.writes:
        page = attack.page()
        with page.expect_request(
            lambda sent: sent.method == "POST" and sent.url.startswith(target.origin)
        ) as asked:
            page.evaluate(SUBMIT, [way.format(target.origin + path), kind, body])
        asked.value.response()  # or that there is none
        page.close()
    return attack.taken(target)


def a_form(attack: Attack, target: Target) -> bool:
    return _posted(attack, target)


def a_form_that_is_passed_on(attack: Attack, target: Target) -> bool:
    return _posted(attack, target, f"{attack.home}/elsewhere?to={{}}")


def a_form_of_no_origin(attack: Attack, target: Target) -> bool:
    """From a sandboxed frame; what is asked there is not told to us, so what came of it is looked at."""
    shown = []
    for path, kind, body in target.writes:
        if kind == FORM:
            page = attack.page()
            with page.expect_event(
                "framenavigated",
                lambda frame: frame.parent_frame is not None and not frame.url.startswith("about:"),
            ):
                page.evaluate(SANDBOXED, [target.origin + path, kind, body])
            shown += [frame.content() for frame in page.frames[1:]]
            page.close()
    assert shown
    return target.has(shown)


def a_blind_request(attack: Attack, target: Target) -> bool:
    page = attack.page()
    for path, kind, body in target.writes:
        options = {
            "method": "POST",
            "mode": "no-cors",
            "credentials": "include",
            "body": body,
            "headers": {"content-type": kind},
        }
        page.evaluate(FETCH, [target.origin + path, options])
    page.close()
    return attack.taken(target)


def a_request_with_credentials(attack: Attack, target: Target) -> bool:
    page = attack.page()
    read = page.evaluate(FETCH, [f"{target.origin}/", {"credentials": "include"}])
    for path, _, body in target.writes:
        options = {
            "method": "POST",
            "credentials": "include",
            "body": body,
            "headers": {"content-type": "application/json"},
        }
        read += page.evaluate(FETCH, [target.origin + path, options])
    read += page.evaluate(
        FETCH, [target.origin + target.writes[0][0], {"method": "DELETE", "credentials": "include"}]
    )
    page.close()
    return bool(read)


def a_frame(attack: Attack, target: Target) -> bool:
    page = attack.page()
    page.evaluate(FRAME, f"{target.origin}/")
    shown = target.has(frame.content() for frame in page.frames[1:])
    page.close()
    return shown


def a_window(attack: Attack, target: Target) -> bool:
    """Whether the attacker keeps a hold on the page that it opened, or the page on the attacker."""
    page = attack.page()
    with page.expect_popup() as opening:
        page.evaluate("(url) => { window.opened = window.open(url) }", f"{target.origin}/")
    # Before that it is still a window of the attacker's own, which holds nothing.
    opening.value.wait_for_url(f"{target.origin}/**")
    opening.value.wait_for_load_state()
    held = not page.evaluate("window.opened.closed") or opening.value.evaluate("window.opener !== null")
    opening.value.close()
    page.close()
    return bool(held)


def a_socket(attack: Attack, target: Target) -> bool:
    page = attack.page()
    opened = page.evaluate(SOCKET, f"{target.origin.replace('http', 'ws', 1)}/")
    page.close()
    return bool(opened)


def _rebound(attack: Attack, target: Target) -> Any:
    return attack.page(f"http://{EVIL}:{target.port}")


def rebinding_that_reads(attack: Attack, target: Target) -> bool:
    page = _rebound(attack, target)
    read = [page.evaluate(FETCH, [path, {}]) for path in ("/", "/v1/conversations", "/admin/v1/keys")]
    page.evaluate(FRAME, "/")
    read += [frame.content() for frame in page.frames[1:]]
    page.goto(f"http://{EVIL}:{target.port}/")
    read.append(page.content())
    page.close()
    return target.has(read)


def rebinding_that_writes(attack: Attack, target: Target) -> bool:
    page = _rebound(attack, target)
    for path, kind, body in target.writes:
        for said in (kind, "application/json"):
            page.evaluate(FETCH, [path, {"method": "POST", "body": body, "headers": {"content-type": said}}])
    page.close()
    return attack.taken(target)


def rebinding_with_a_socket(attack: Attack, target: Target) -> bool:
    page = _rebound(attack, target)
    opened = page.evaluate(SOCKET, f"ws://{EVIL}:{target.port}/")
    page.close()
    return bool(opened)


ROWS: tuple[Row, ...] = (
    a_form,
    a_form_that_is_passed_on,
    a_form_of_no_origin,
    a_blind_request,
    a_request_with_credentials,
    a_frame,
    a_window,
    a_socket,
    rebinding_that_reads,
    rebinding_that_writes,
    rebinding_with_a_socket,
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        (pytest.fail if REQUIRED else pytest.skip)(GET)
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        it = playwright.chromium.launch(executable_path=CHROMIUM, args=OPENED)
        yield it
        it.close()


@pytest.fixture(scope="module")
def server(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    it = start(tmp_path_factory.mktemp("sites"))
    yield it
    assert it.stop() == 0


@dataclass
class Victim:
    """Who is logged in everywhere, and what belongs to them."""

    attack: Attack
    targets: dict[str, Target]
    page: Any
    chat: str
    own: str

    def state(self) -> dict[str, Any]:
        """All that the attacks would change."""
        admin, ask = self.targets["admin"].origin, self.page.request.get
        page = ask(f"{self.chat}/", headers={"accept": "text/html"}).text()
        return {
            "conversations": ask(f"{self.chat}/v1/conversations").json()["data"],
            "turns": ask(f"{self.chat}/v1/conversations/{self.own}/turns").json()["data"],
            "keys": [one["key"] for one in ask(f"{admin}/admin/v1/keys").json()["rows"]],
            "asking as": page.partition("<summary>")[2].partition("</summary>")[0],
        }


@pytest.fixture(scope="module")
def victim(chromium: Any, server: Server) -> Iterator[Victim]:
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.goto(server.said["admin_link"])
    admin = server.said["admin_link"].partition("/enrol")[0]
    page.click("form[data-passkey] button")
    page.wait_for_url(f"{admin}/")
    page.goto(server.url)
    page.fill("#q", "What is a jurisdiction pack?")
    page.click("#send")
    page.wait_for_selector(".finished")
    own = page.url.rpartition("/")[2]
    asked = '{"model": "dragoman", "messages": [{"role": "user", "content": "evil"}]}'
    writes = (
        ("/asking", FORM, "preset=berlin&back=/"),
        ("/ask", FORM, "q=evil&once=evil"),
        ("/me/sign-out", FORM, "x=y"),
        (f"/c/{own}/delete", FORM, "x=y"),
        ("/v1/conversations", PLAIN, '{"title": "evil"}'),
        (f"/v1/conversations/{own}/turns", PLAIN, asked),
    )
    keys = (
        ("/keys", FORM, "title=evil&end_users=none"),
        ("/admin/v1/keys", PLAIN, '{"title": "evil"}'),
        ("/logout", FORM, "x=y"),
    )
    with open_server() as port:
        answers: list[tuple[str, str, int]] = []
        context.on("request", lambda sent: answers.append((sent.method, sent.url, 0)))
        context.on("response", lambda got: answers.append((got.request.method, got.url, got.status)))
        yield Victim(
            Attack(context, f"http://{EVIL}:{port}", answers),
            {
                "open": Target(
                    f"http://127.0.0.1:{port}", (SECRET,), (("/do", FORM, "a=b"), ("/do", PLAIN, '{"a": 1}'))
                ),
                "chat": Target(server.url, ('id="ask"', '"object":"list"'), writes),
                "admin": Target(admin, ("data-passkey", 'href="/keys"', '"rows"'), keys),
            },
            page,
            server.url,
            own,
        )
    context.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_another_site_gets_nowhere(victim: Victim, row: Row) -> None:
    assert row(victim.attack, victim.targets["open"]), "the control: this would be seen"
    before = victim.state()
    for name in ("chat", "admin"):
        victim.attack.answers.clear()
        assert not row(victim.attack, victim.targets[name]), name
    assert victim.state() == before
    assert before["keys"], "the administrator is logged in all the while"
    assert (len(before["conversations"]), len(before["turns"])) == (1, 1)
    assert "myself" in before["asking as"]
