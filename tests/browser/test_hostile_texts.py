"""Hostile text wherever somebody's words reach a page, in Chromium: nothing of it runs, loads or hides.

Each row brings the text to a page by another way and looks at what became of it. The control is the same text as markup.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from admin_person import coming_to
from browser_visit import SLOW_MS

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk

pytestmark = pytest.mark.browser

RUNS = "\"'></title></textarea></style><img src=x onerror=alert(1)><svg onload=alert(1)><script>alert(1)</script>"
PRINTED = f"{RUNS}{{{{7*7}}}}"
"""Markup out of every context and an expression of a template."""
EVIL = f"{PRINTED}\u202egpj"
"""With an override of direction besides; titles of keys and tenants may not hold one."""
LONG = "n" * 2_048
SHOWN = "<img src=x onerror=alert(1)>"
NAMED = "⟨U+202E⟩"
POLLUTED = '{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, '
BAD = """() => [...document.querySelectorAll(
  "img, svg, iframe, object, embed, base, [onerror], [onload], [onclick], [onmouseover], script:not([src])")]
  .concat([...document.querySelectorAll("a, form")].filter((one) =>
    /^(javascript|data|vbscript):/i.test(one.getAttribute("href") ?? one.getAttribute("action") ?? "")))
  .map((one) => one.outerHTML)"""
WIDENS = """(long) => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  const ours = "#send, .change, [hreflang], option"; // nobody else's words come there
  if (document.documentElement.scrollWidth > innerWidth) return ["before"];
  return texts.filter((one) => one.data.trim() && !one.parentElement.closest(ours)).filter((one) => {
    const was = one.data;
    one.data = long;
    const wide = document.documentElement.scrollWidth > innerWidth;
    one.data = was;
    return wide;
  }).map((one) => one.parentElement.outerHTML);
}"""
"""Where on a page a name of any length would make it wider than its window."""
POST = """async ([method, url, body]) => (await fetch(url, {method, credentials: "same-origin", body: JSON.stringify(body),
  headers: {"content-type": "application/json"}})).text()"""
TURN = """async ([conversation, model, text]) => {
  const answer = await fetch(`/v1/conversations/${conversation}/turns`, {method: "POST", credentials: "same-origin",
    headers: {"content-type": "application/json"}, body: JSON.stringify({model, stream: true, messages: [{role: "user", content: text}]})});
  await answer.text();
  return answer.headers.get("dragoman-turn");
}"""
CONFIG = """
rules = ["rules.toml"]
[deployment]
name = {evil}
contact = {evil}
[label.text]
en = {evil}
zh = {evil}
[tenants.evil]
title = {printed}
[providers.fake]
base_url = "{provider}"
[models.fake]
provider = "fake"
model = {evil}
[providers.far]
base_url = "https://api.openai.com/v1"
[models.far]
provider = "far"
model = {evil}
"""
RULES = """
[[rules]]
id = "op.word"
words = ["numbat"]
action = "redact"
message = {{ en = {evil}, zh = {evil} }}
placeholder = {{ en = {evil}, zh = {evil} }}
"""
DOCUMENT = f"""# Wombat permits {EVIL}

## How long {EVIL}

A wombat permit lasts seven years {EVIL}. [Read more](javascript:alert(1)) <https://x.example/"onmouseover="alert(1)>
"""


def quoted(text: str) -> str:
    """As a string of TOML."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\u202e", "\\u202e") + '"'


@dataclass
class Guest:
    """Somebody's page, and what it did that nobody asked for."""

    page: Any
    origin: str
    dialogs: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(SLOW_MS)
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda fault: self.complaints.append(str(fault)))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.origin, "file:", "data:image/svg+xml")):
            self.foreign.append(request.url)

    def go(self, path: str) -> None:
        self.page.goto(self.origin + path)
        self.page.wait_for_load_state("load")

    def send(self, method: str, path: str, body: Any) -> str:
        return str(self.page.evaluate(POST, [method, path, body]))

    def wrong(self) -> list[str]:
        """What a page did, or became, by the text on it; answers with an error status are told of by the browser."""
        told = [one for one in self.complaints if not one.startswith("Failed to load resource")]
        found = [*self.dialogs, *told, *self.foreign, *self.page.evaluate(BAD)]
        for text in (self.page.title(), self.page.locator("body").inner_text()):
            found += ["turned"] if "\u202e" in text else []
        for seen in (self.dialogs, self.complaints, self.foreign):
            seen.clear()
        return found


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    (folder / "rules.toml").write_text(RULES.format(evil=quoted(EVIL)), encoding="utf-8")
    papers = folder / "papers"
    papers.mkdir()
    (papers / "wombat <img src=x onerror=alert(1)>.md").write_text(DOCUMENT, encoding="utf-8")
    note = {"start_index": 0, "end_index": 3, "title": EVIL, "url": "javascript:alert(1)"}
    cited = chunk(
        {"content": f"It is. {EVIL}", "annotations": [{"type": "url_citation", "url_citation": note}]}
    )
    polluted = b"data: " + POLLUTED.encode() + cited.removeprefix(b"data: {")
    with closing(FakeProvider(Script([polluted, chunk({}, finish="stop"), DONE]))) as provider:
        server = start(
            folder, CONFIG.format(evil=quoted(EVIL), printed=quoted(PRINTED), provider=provider.url)
        )
        more = ("--title", EVIL, "--owner", EVIL, "--licence", EVIL)
        server.dragoman("ingest", str(papers), "--source", "papers", *more)
        server.dragoman("keys", "create", "--title", PRINTED)
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def guest(browser: Any, server: Server) -> Iterator[Guest]:
    context = browser.new_context(locale="en-GB")
    made = Guest(context.new_page(), server.url)
    made.go("/?lang=en")
    yield made
    context.close()


@pytest.fixture(scope="module")
def talk(guest: Guest) -> dict[str, str]:
    """A conversation of hostile words: its id, and its turns by what brought the words there."""
    guest.go("/")
    guest.page.fill("#q", f"wombat permit {EVIL}")
    guest.page.click("#send")
    guest.page.wait_for_selector(".finished")
    found = {"id": guest.page.url.rpartition("/")[2]}
    found["asked"] = str(guest.page.locator(".answer").first.get_attribute("data-turn"))
    for name, model, text in (
        ("cited", "fake", "say it"),
        ("refused", "far", EVIL),
        ("ruled", "dragoman", "numbat"),
    ):
        found[name] = guest.page.evaluate(TURN, [found["id"], model, text])
    note = {"rating": "bad", "reason": "other", "note": EVIL}
    guest.send("PUT", f"/v1/conversations/{found['id']}/turns/{found['asked']}/feedback", note)
    guest.send("PATCH", f"/v1/conversations/{found['id']}", {"title": EVIL})
    guest.send("POST", "/v1/appeals", {"about": found["asked"], "text": EVIL, "contact": EVIL})
    return found


Row = Callable[[Guest, dict[str, str]], None]


def a_question_as_it_is_asked(guest: Guest, talk: dict[str, str]) -> None:
    guest.go("/")
    guest.page.fill("#q", EVIL)
    guest.page.click("#send")
    guest.page.wait_for_selector(".finished")
    assert NAMED in guest.page.title()


def titles_questions_answers_notes(guest: Guest, talk: dict[str, str]) -> None:
    guest.go(f"/c/{talk['id']}")
    guest.page.locator("#manage > summary").click()
    for closed in guest.page.locator(".acts details > summary").all():
        closed.click()
    assert guest.page.input_value("#manage [name=title]") == EVIL, "what is written on is as it was written"
    assert guest.page.locator("#list a", has_text=SHOWN).count() >= 1
    assert guest.page.locator(".question", has_text=SHOWN).count() >= 2
    assert guest.page.locator(".finished", has_text=SHOWN).count() >= 3
    assert guest.page.locator(".judged", has_text=SHOWN).count() == 1


def a_question_that_is_edited(guest: Guest, talk: dict[str, str]) -> None:
    guest.go(f"/c/{talk['id']}?edit={talk['asked']}")
    assert guest.page.input_value("#q") == f"wombat permit {EVIL}"


def a_title_renamed_on_the_page(guest: Guest, talk: dict[str, str]) -> None:
    guest.go(f"/c/{talk['id']}")
    guest.page.locator("#manage > summary").click()
    guest.page.fill("#manage [name=title]", f"again {EVIL}")
    guest.page.locator("#manage form button").first.click()
    guest.page.locator("#title", has_text="again").wait_for()


def a_citation_and_its_document(guest: Guest, talk: dict[str, str]) -> None:
    guest.go(f"/c/{talk['id']}")
    cite = guest.page.locator(f'[data-turn="{talk["asked"]}"] .cite').first
    path = str(cite.get_attribute("href"))
    assert path.startswith("/sources/papers/")
    guest.go(path)
    assert guest.page.locator("article h1", has_text=SHOWN).count() == 1
    assert guest.page.locator("footer", has_text=SHOWN).count() >= 1


def the_drawer(guest: Guest, talk: dict[str, str]) -> None:
    guest.go(f"/c/{talk['id']}")
    guest.page.locator(f'[data-turn="{talk["cited"]}"] .why').click()
    guest.page.locator("#passport dl").first.wait_for()
    assert SHOWN in guest.page.locator("#passport").inner_text()


def what_a_rule_says(guest: Guest, talk: dict[str, str]) -> None:
    guest.go(f"/c/{talk['id']}")
    guest.go(str(guest.page.locator(".intervention a[href^='/appeal/']").first.get_attribute("href")))


def what_a_decision_says(guest: Guest, talk: dict[str, str]) -> None:
    told = guest.page.request.get(
        f"{guest.origin}/v1/conversations/{talk['id']}/turns/{talk['refused']}/passport"
    )
    guest.go(f"/v1/interventions/{told.json()['decision']['id']}")


def addresses(guest: Guest, talk: dict[str, str]) -> None:
    names = ("q", "lang", "branch", "edit", "before", "after", "back")
    for path in ("/", f"/c/{talk['id']}", "/ask"):
        guest.go(f"{path}?{'&'.join(f'{name}={quote(EVIL)}' for name in names)}#{quote(RUNS)}")
        assert guest.wrong() == [], path
    for path in ("/{}", "/c/{}", "/sources/{}/x", "/sources/papers/{}", "/static/{}", "/v1/interventions/{}"):
        guest.go(path.format(quote(EVIL, safe="")))
        assert guest.wrong() == [], path
    guest.go(f"/{quote(EVIL, safe='')}")


def forms_that_are_refused(guest: Guest, talk: dict[str, str]) -> None:
    guest.go("/")
    guest.page.locator(".asking summary").click()
    guest.page.evaluate(
        "(text) => { for (const one of document.querySelectorAll('.facts input')) { one.type = 'text'; one.maxLength = 9999; one.value = text; } }",
        EVIL,
    )
    guest.page.locator(".facts button").click()
    guest.page.wait_for_url("**/asking")


def an_exported_page(guest: Guest, talk: dict[str, str]) -> None:
    made = guest.page.request.get(f"{guest.origin}/v1/conversations/{talk['id']}/export?format=html")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "talk.html"
        file.write_bytes(made.body())
        guest.page.goto(file.as_uri())
        guest.page.wait_for_load_state("load")
    assert guest.page.locator(".said", has_text=SHOWN).count() >= 3
    assert guest.page.locator("h1", has_text=SHOWN).count() == 1


ROWS: tuple[Row, ...] = (
    a_question_as_it_is_asked,
    titles_questions_answers_notes,
    a_question_that_is_edited,
    a_title_renamed_on_the_page,
    a_citation_and_its_document,
    the_drawer,
    what_a_rule_says,
    what_a_decision_says,
    addresses,
    forms_that_are_refused,
    an_exported_page,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_hostile_text_stays_text(guest: Guest, talk: dict[str, str], row: Row) -> None:
    row(guest, talk)
    text = guest.page.locator("body").inner_text()
    assert SHOWN in text, "it came to the page"
    assert "{{7*7}}" in text
    assert NAMED in text
    assert guest.wrong() == []


def test_hostile_text_stays_text_in_administration(
    browser: Any, server: Server, talk: dict[str, str]
) -> None:
    link = server.said["admin_link"]
    with coming_to(browser, link.partition("/enrol")[0])() as person:
        person.enrol(link, PRINTED)
        admin = Guest(person.page, person.origin)
        for path, shown in {
            "/": True, "/keys": True, "/tenants": True, "/usage": True, "/appeals": True, "/interventions": True,
            "/people": True, "/setup": True, f"/{quote(EVIL, safe='')}": True, f"/keys?{quote(EVIL)}={quote(EVIL)}": True,
        }.items():  # fmt: skip
            admin.go(path)
            assert (SHOWN in admin.page.locator("body").inner_text()) is shown, path
            assert admin.wrong() == [], path
        admin.go("/appeals")
        admin.go(str(admin.page.locator('a[href^="/appeals/"]').first.get_attribute("href")))
        assert admin.page.locator("blockquote", has_text=SHOWN).count() == 1
        assert admin.wrong() == []


def test_names_of_objects_are_only_names(guest: Guest, talk: dict[str, str]) -> None:
    """What a provider and a client say of prototypes changes none, on the page and on the server."""
    guest.go("/")
    for body in (
        {"title": "t", "metadata": {"__proto__": "x", "constructor": "y"}},
        {"title": "t", "__proto__x": 1},
    ):
        guest.send("POST", "/v1/conversations", body)
    guest.page.evaluate(
        """async (text) => { await fetch("/v1/conversations", {method: "POST", credentials: "same-origin", body: text,
          headers: {"content-type": "application/json"}}) }""",
        POLLUTED + '"title": "t"}',
    )
    guest.go(f"/c/{talk['id']}")
    guest.page.locator(f'[data-turn="{talk["cited"]}"] .why').click()
    guest.page.locator("#passport dl").first.wait_for()
    assert guest.page.evaluate("({}).polluted === undefined && [].polluted === undefined")
    assert guest.wrong() == []


def test_long_names_leave_the_pages_whole(guest: Guest, talk: dict[str, str]) -> None:
    told = guest.send("PATCH", f"/v1/conversations/{talk['id']}", {"title": LONG})
    assert "title" in told
    assert "error" in told
    guest.send("PATCH", f"/v1/conversations/{talk['id']}", {"title": LONG[:200]})
    for width in (390, 1280):
        guest.page.set_viewport_size({"width": width, "height": 800})
        for path in (f"/c/{talk['id']}", "/sources/dragoman/jurisdictions-en", f"/{LONG}"):
            guest.go(path)
            assert guest.page.evaluate(WIDENS, LONG) == [], (width, path)
    guest.complaints.clear()
    guest.page.evaluate("document.getElementById('main').style.whiteSpace = 'nowrap'")
    assert guest.page.evaluate(WIDENS, LONG), "the control: it is seen where one does"


def test_these_tests_would_see_it(browser: Any) -> None:
    """The control: the same text as markup."""
    context = browser.new_context()
    it = Guest(context.new_page(), "https://origin.example")
    it.page.set_content(
        f"<p>a\u202eb</p><title>{EVIL}</title><p>{EVIL}</p><a href='javascript:alert(1)'>x</a>"
    )
    it.page.wait_for_function("document.querySelector('img').complete")
    it.page.evaluate("new Promise((done) => setTimeout(done))")
    assert it.dialogs
    found = it.wrong()
    assert "turned" in found
    assert any("onerror" in one for one in found)
    assert any("javascript:" in one for one in found)
    context.close()
