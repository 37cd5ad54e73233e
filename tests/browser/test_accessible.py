"""Pages for everybody: axe-core finds nothing on them, keys alone do everything, and so do plain forms."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_findings import DESK, PHONE, both_schemes, findings
from browser_visit import SLOW_MS, Visiting
from keys import Keys

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk
from dragoman.web.texts import TEXTS

pytestmark = pytest.mark.browser

CONFIG = """
rules = ["rules.toml"]
[providers.fake]
base_url = "{provider}"
[models.dragoman]
provider = "fake"
model = "up"
fallbacks = ["shop"]
[models.alone]
provider = "fake"
model = "up"
[models.shop]
provider = "local"
model = "extractive"
[providers.far]
base_url = "https://api.openai.com/v1"
[models.far]
provider = "far"
model = "far-1"
"""
RULES = """
[[rules]]
id = "op.word"
words = ["collection point", "代收点"]
action = "redact"
message = { en = "House rules.", zh = "内部规则。" }
placeholder = { en = "[gone]", zh = "[已去]" }
[[rules]]
id = "op.never"
words = ["forbidden fruit"]
action = "refuse"
message = { en = "Not here.", zh = "此处不行。" }
"""
RICH = """# Heading

**bold**, *em*, ~~gone~~, `code`, [a link](https://x.example/p)

- one
  1. two

> quoted

```python
print("wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide, wide")
```

| a | b |
|---|---|
| 1 | 2 |
"""
CITED = "How do I send an item back?"
TURNS = (
    ("shop", CITED),  # cited, and redacted by a rule
    ("far", "Is it far?"),  # refused by a decision, with reasons and sources
    ("dragoman", "refused"),  # its answer is stopped by a rule
    ("dragoman", "rich"),
    ("alone", "broken"),
    ("dragoman", "cut"),  # interrupted, see `seeded`
    ("dragoman", "judged bad"),
    ("dragoman", "again"),  # asked twice
)
ASK = """async ([turns, title, pinned, others]) => {
  const send = (method, url, body) => fetch(url, {method, credentials: "same-origin",
    headers: {"content-type": "application/json"}, body: JSON.stringify(body)});
  const ids = [];
  const made = async (title) => (await (await send("POST", "/v1/conversations", {title})).json()).id;
  for (let n = 0; n < others; n += 1) await made(`Other ${n}`);
  const one = `/v1/conversations/${await made(title)}`;
  const ask = async (model, content, parent) => {
    const body = {model, stream: true, messages: [{role: "user", content}], ...(parent && {parent})};
    const answer = await send("POST", `${one}/turns`, body);
    await answer.text();
    return answer.headers.get("dragoman-turn");
  };
  for (const [model, content] of turns) ids.push(await ask(model, content));
  await ask("dragoman", "again, in other words", ids.at(-2));
  await send("PUT", `${one}/turns/${ids.at(-2)}/feedback`, {rating: "bad", reason: "wrong"});
  await send("PATCH", `/v1/conversations/${await made(pinned)}`, {pinned: true});
  return one.split("/").at(-1);
}"""
LOOKS = [("en", "light", DESK), ("zh", "dark", PHONE)]
OPEN_ALL = "() => { for (const one of document.querySelectorAll('details')) one.open = true; }"


def scripted(text: list[str], gap: float = 0.0) -> Script:
    return Script([chunk({"content": one}) for one in text] + [chunk({}, finish="stop"), DONE], gap=gap)


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("axe")
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    with closing(FakeProvider(scripted(["An answer."]))) as provider:
        provider.scripts["rich"] = scripted([RICH])
        provider.scripts["refused"] = scripted(["It is ", "forbidden fruit", " indeed."])
        provider.scripts["broken"] = Script([b"nonsense"], status=500)
        provider.scripts["endless"] = scripted([f"e{n} " for n in range(1_000)], 0.05)
        provider.scripts[CITED] = Script([b"busy"], status=503)  # so that the offline assistant answers
        server = start(folder, CONFIG.format(provider=provider.url))
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def seeded(browser: Any, server: Server) -> tuple[Any, str]:
    """A guest's cookies, and the page of its conversation with every kind of turn."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    name = page.evaluate(ASK, [TURNS, TITLE, "Pinned", 31])
    state = context.storage_state()
    context.close()
    with closing(sqlite3.connect(server.folder / "data" / "zone.db", timeout=30)) as database:
        # No relay dies here: the row is what its next start would leave.
        rows = "conversation = ? AND asked LIKE '%\"cut\"%'"
        changed = database.execute(
            f"UPDATE turns SET state = 'interrupted', status = 'interrupted' WHERE {rows}", (name,)
        ).rowcount
        database.commit()
    assert changed == 1
    return state, f"{server.url}/c/{name}"


Looking = Callable[..., Any]
TITLE = "Every kind of turn"


def is_page(page: Any, title: str) -> None:
    """It is the page that is meant: an error page, which axe likes as well, has another title."""
    assert page.title() == f"{title} · Dragoman"


@pytest.fixture
def looking(browser: Any, seeded: tuple[Any, str]) -> Looking:
    """`with looking("zh", "dark", PHONE) as page`: the seeded guest's browser."""

    @contextmanager
    def look(language: str, scheme: str, size: dict[str, int], *, script: bool = True) -> Iterator[Any]:
        context = browser.new_context(
            locale={"en": "en-GB", "zh": "zh-CN"}[language], storage_state=seeded[0], viewport=size
        )
        context.set_default_timeout(SLOW_MS)
        page = context.new_page()
        if not script:  # the page's own: axe needs the engine
            page.route("**/static/*.js*", lambda route: route.abort())
        page.emulate_media(color_scheme=scheme)
        yield page
        context.close()

    return look


@pytest.mark.parametrize(("language", "scheme", "size"), LOOKS)
def test_the_chat_and_every_kind_of_turn(
    looking: Looking, seeded: tuple[Any, str], server: Server, language: str, scheme: str, size: Any
) -> None:
    found: list[str] = []
    with looking(language, scheme, size) as page:
        page.goto(f"{server.url}/?after=#list")
        page.evaluate(OPEN_ALL)
        is_page(page, TEXTS[language]["title"])
        assert page.locator("#more").is_visible()
        found += both_schemes(page, scheme)
        page.goto(seeded[1])
        is_page(page, TITLE)
        said = page.locator("#log").text_content()  # what is far away on the page is not laid out
        for key in ("interrupted", "changed", "refused"):
            assert TEXTS[language][key] in said, key
        assert page.locator(".cite").count()
        shown = "all => all.map((one) => getComputedStyle(one).contentVisibility)"
        laid_out = page.locator("#log > article").evaluate_all(shown)
        assert laid_out == ["auto"] * (len(laid_out) - 12) + ["visible"] * 12, (
            "only what is near costs layout"
        )
        found += findings(page)
        page.evaluate(OPEN_ALL)
        # What was opened far away has its old height until one comes near, and would be taken to lie over what follows.
        page.evaluate(
            "document.querySelectorAll('#log > article').forEach((one) => (one.style.contentVisibility = 'visible'))"
        )
        found += both_schemes(page, scheme)
        page.goto(page.locator(".edit").last.evaluate("one => one.href"))
        is_page(page, TITLE)
        found += findings(page)
    assert found == []


@pytest.mark.parametrize(("language", "scheme", "size"), LOOKS)
def test_an_answer_while_it_grows_and_the_drawer(
    looking: Looking, seeded: tuple[Any, str], server: Server, language: str, scheme: str, size: Any
) -> None:
    found: list[str] = []
    with looking(language, scheme, size) as page:
        page.goto(server.url)
        page.fill("#q", "endless")
        page.press("#q", "Enter")
        page.locator(".draft", has_text="e3").wait_for()
        found += both_schemes(page, scheme)
        page.keyboard.press("Escape")
        page.locator(".finished .problem").wait_for()
        found += findings(page)
        page.goto(seeded[1])
        is_page(page, TITLE)
        for at in (0, 1):  # cited, refused
            page.locator(".why").nth(at).click()
            page.locator('#passport [data-state="proven"]').wait_for()
            found += both_schemes(page, scheme)
            page.keyboard.press("Escape")
    assert found == []


@pytest.mark.parametrize(("language", "scheme", "size"), LOOKS)
def test_pages_beside_the_chat_and_those_without_script(
    looking: Looking, seeded: tuple[Any, str], server: Server, language: str, scheme: str, size: Any
) -> None:
    found: list[str] = []
    with looking(language, scheme, size, script=False) as page:
        page.goto(f"{seeded[1]}?lang={language}")
        reasons = page.locator(".answer a[href^='/appeal/']").evaluate_all(
            "all => all.map((one) => one.href)"
        )
        assert len(reasons) > 1
        sources = page.locator(".cite").first.evaluate("one => one.href")
        why = page.locator(".why").first.evaluate("one => one.href")
        kept = page.request.get(f"{seeded[1].replace('/c/', '/v1/conversations/')}/export?format=html").text()
        t = TEXTS[language]
        pages = {
            sources: "Returns and exchanges",
            why: t["why_this"],
            f"{server.url}/nothing": t["error_404"],
        }
        for address, title in {**pages, **dict.fromkeys(reasons[:2], t["appeal"])}.items():
            page.goto(address)
            is_page(page, title)
            found += findings(page)
        page.goto(server.url)
        page.locator("#ask").evaluate("form => form.submit()")  # past the browser's own check: empty
        page.locator("#problem").wait_for()
        is_page(page, t["title"])
        found += both_schemes(page, scheme)
        page.fill("#q", "rich")
        page.click("#send")
        page.locator(".finished table").wait_for()
        is_page(page, t["untitled"])  # control names it when its turn is over
        found += findings(page)
        page.goto("about:blank")
        page.set_content(kept)
        assert TITLE in page.title()
        found += findings(page)
    assert found == []


def test_what_is_bad_is_found(looking: Looking, server: Server) -> None:
    """Negative control, on our own page with its own policy: each fault is named, and nothing else is."""
    spoil = {
        "label": "document.querySelector('#ask label').remove(); document.getElementById('q').placeholder = ''",
        "color-contrast": "document.querySelector('h1').style.color = 'rgb(200, 200, 200)'",
        "button-name": "document.getElementById('send').textContent = ''",
        "html-has-lang": "document.documentElement.removeAttribute('lang')",
        "aria-valid-attr-value": "document.getElementById('log').setAttribute('aria-live', 'loud')",
    }
    with looking("en", "light", DESK) as page:
        for rule, script in spoil.items():
            page.goto(server.url)
            page.evaluate(f"() => {{ {script} }}")
            found = findings(page)
            assert {re.split(r" \(", one)[0] for one in found} == {rule}, found
            assert all("(serious)" in one or "(critical)" in one for one in found)


def test_a_visit_by_keys_alone(browser: Any, server: Server) -> None:
    """From the first Tab to everything that the page can do; `Keys` looks for the focus at every stop."""
    context = browser.new_context(locale="en-GB", viewport=DESK, reduced_motion="reduce")
    context.set_default_timeout(SLOW_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    page, t = context.new_page(), TEXTS["en"]
    keys = Keys(page)
    page.goto(server.url)
    keys.press("Tab")
    assert keys.is_on(".skip")
    keys.look()
    keys.press("Enter")
    assert keys.is_on("#q")
    keys.type(CITED)
    keys.press("Enter")
    page.locator(".finished .cite").first.wait_for()
    page.locator(".acts").wait_for()
    keys.look()
    assert keys.is_on("#q")
    _answers_by_keys(page, keys, t)
    _conversation_by_keys(page, keys, t)
    context.close()


def _answers_by_keys(page: Any, keys: Keys, t: dict[str, str]) -> None:
    """What can be done with an answer: its source, stop, again, edit, copy, the passport, a judgement."""
    here = page.url
    keys.enter(".cite", "Shift+Tab")
    page.wait_for_url("**/sources/osmanthus-lane/**")
    assert page.locator(".source :target").is_visible()
    keys.enter("main a")
    page.wait_for_url(re.compile("/$"))
    keys.enter("#others a")
    page.wait_for_url(here)
    keys.to("#q")
    keys.type("endless")
    keys.press("Enter")
    page.locator(".draft", has_text="e3").wait_for()
    keys.look()
    keys.press("Escape")
    page.locator(".finished .problem").wait_for()
    keys.enter(".again button", "Shift+Tab")
    page.locator(".draft", has_text="e3").wait_for()
    keys.look()  # what had the focus is gone
    keys.enter("#send")
    page.locator(".branches span", has_text="2/2").wait_for()
    keys.look()
    assert keys.is_on("#q")
    keys.enter(".edit", "Shift+Tab")
    page.wait_for_url(re.compile("edit="))
    page.wait_for_function("document.activeElement.id === 'q'")
    assert page.input_value("#q") == "endless"
    keys.press("ControlOrMeta+A")
    keys.type("rich")
    keys.press("Enter")
    page.locator(".branches span", has_text="3/3").wait_for()
    keys.enter(".copycode", "Shift+Tab")
    page.locator("#status", has_text=t["copied"]).wait_for(state="attached")
    assert "print" in page.evaluate("navigator.clipboard.readText()")
    keys.enter(".copy")
    page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('quoted')")
    keys.look()
    keys.enter(".why")
    page.locator("#passport [data-state]").first.wait_for()
    for _ in range(5):
        keys.to("#passport :is(a, button)")
    keys.press("Escape")
    assert keys.is_on(".why")
    keys.enter(".rate button")
    page.locator(".answer [aria-pressed]").wait_for()
    keys.enter(".answer:last-child details.rate > summary")
    keys.press("Escape")
    assert keys.is_on("summary")
    keys.look()
    keys.press("Enter")
    keys.enter("[name=rating][value=bad]")
    page.locator(".acts summary.given").wait_for()


def _conversation_by_keys(page: Any, keys: Keys, t: dict[str, str]) -> None:
    """The list, renaming, pinning, who is asked as, the language, deleting; the list of a phone."""
    keys.enter("#manage > summary")
    keys.to("[name=title]")
    keys.press("ControlOrMeta+A")
    keys.type("Lamps")
    keys.press("Enter")
    page.locator("#title", has_text="Lamps").wait_for()
    keys.enter("[name=pinned]")
    page.locator("#pinned a", has_text="Lamps").wait_for()
    keys.look()
    keys.enter(".asking summary")
    keys.press("Escape")
    assert not page.locator(".presets").is_visible()
    keys.press("Enter")
    keys.enter(".presets [name=preset]")
    page.locator(".presets [name=preset][aria-pressed]").wait_for(state="attached")
    assert page.locator("#title").inner_text() == "Lamps"
    page.set_viewport_size(PHONE)
    keys.enter(".opener")
    keys.to("#list a")
    keys.press("Escape")
    assert keys.is_on(".opener")
    assert not page.locator("#list").is_visible()
    keys.look()
    keys.enter("nav [hreflang=zh]")
    page.locator("#send", has_text=TEXTS["zh"]["ask"]).wait_for()
    keys.enter("#manage > summary")
    keys.enter(".sure > summary")
    keys.enter(".danger")
    page.wait_for_url(re.compile("/$"))
    assert page.locator("#pinned a").count() == 0


def test_keys_see_a_focus_that_is_lost(looking: Looking, server: Server) -> None:
    """Negative control: no mark, out of sight, on nothing, out of reach."""
    spoil = {
        "nothing shows": "const it = document.querySelector('.name'); it.style.outline = 'none'",
        "out of sight": "const it = document.querySelector('.name'); it.style.position = 'fixed'; it.style.left = '-99px'",
        "not reached": "document.querySelector('.name').tabIndex = -1",
    }
    with looking("en", "light", DESK) as page:
        keys = Keys(page)
        for fault, script in spoil.items():
            page.goto(f"{server.url}/nothing")
            page.evaluate(f"() => {{ {script} }}")
            with pytest.raises(AssertionError, match=fault):
                keys.to(".name")
        page.goto(f"{server.url}/nothing")
        with pytest.raises(AssertionError, match="lost"):
            keys.look()


def test_a_visit_without_javascript(visiting: Visiting, server: Server) -> None:
    """Everything that is promised without it, in one visit."""
    with visiting(server.url, script=False) as visit:
        page = visit.page
        visit.ask(CITED)
        page.locator(".cite").first.click()
        page.wait_for_url("**/sources/osmanthus-lane/**")
        assert page.locator("span:target").is_visible()
        page.go_back()
        page.locator("#others a").first.click()
        page.wait_for_url(re.compile("/c/"))
        here = page.url
        assert page.locator(".why").count() == 1, "one link, with the script and without"
        assert page.locator(":is(.copy, .copycode):visible").count() == 0, "offers what needs the script"
        _answers_by_forms(page, here)
        _conversation_by_forms(page, TEXTS["en"])
        assert visit.complaints == []


def _answers_by_forms(page: Any, here: str) -> None:
    """Stopped while it is written, asked again and in other words, each version seen, judged."""

    def back() -> None:
        page.wait_for_load_state("load")
        page.goto(here)

    page.fill("#q", "endless")
    page.click("#send", no_wait_after=True)
    page.locator(".draft", has_text="e3").wait_for()
    page.goto(here)
    page.click(".halt button")
    page.locator(".finished .problem").wait_for()
    page.locator(".edit").last.click()
    page.wait_for_url(re.compile("edit="))
    page.fill("#q", "rich")
    page.click("#send")
    page.locator(".finished table").wait_for()
    back()
    page.locator(".again button").last.click()
    page.locator(".finished table").wait_for()
    back()
    assert page.locator(".branches span").all_inner_texts() == ["3/3"]
    page.locator(".branches a").click()
    page.wait_for_url(re.compile("branch="))
    assert page.locator(".branches span").all_inner_texts() == ["2/3"]
    page.locator("form.rate button").last.click()
    page.locator(".acts [aria-pressed]").wait_for()
    page.locator("details.rate summary").last.click()
    page.locator("[name=reason]").last.select_option("unsafe")
    page.locator("[name=rating][value=bad]").last.click()
    page.locator(".acts summary.given").click()
    page.locator("[name=rating][value=none]:visible").click()
    page.locator(".acts summary.given").wait_for(state="detached")


def _conversation_by_forms(page: Any, t: dict[str, str]) -> None:
    """Renamed, pinned, taken along, asked as somebody else, in the other language, deleted."""
    page.locator("#manage > summary").click()
    page.fill("#manage [name=title]", "Lamps")
    page.get_by_role("button", name=t["rename"]).click()
    page.locator("#title", has_text="Lamps").wait_for()
    page.locator("#manage > summary").click()
    page.locator("[name=pinned]").click()
    page.locator("#pinned a", has_text="Lamps").wait_for()
    page.locator("#manage > summary").click()
    with page.expect_download() as found:
        page.locator(".files a", has_text="HTML").click()
    assert "Lamps" in Path(found.value.path()).read_text(encoding="utf-8")
    page.locator(".asking summary").click()
    page.locator(".presets [name=preset]").first.click()
    page.locator(".presets [name=preset][aria-pressed]").wait_for(state="attached")
    page.locator(".asking summary").click()
    page.fill("[name=residence]", "SG")
    page.locator(".facts button").click()
    page.locator(".asking strong", has_text="SG").wait_for()
    page.locator("nav [hreflang=zh]").click()
    page.locator("#send", has_text=TEXTS["zh"]["ask"]).wait_for()
    page.locator("#manage > summary").click()
    page.locator(".sure summary").click()
    page.locator(".danger").click()
    page.wait_for_url(re.compile("/$"))
    assert page.locator("#pinned a").count() == 0
