"""Answers as Markdown in Chromium: the same with and without JavaScript, and nothing of them runs."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_visit import SLOW_MS, Visit, Visiting

from dragoman.testing.ports import free_port
from dragoman.testing.site import SAY
from dragoman.web.texts import TEXTS

pytestmark = pytest.mark.browser

WIDE = "wide" * 60
RICH = f"""# Heading

**注意：**bold, *em*, ~~gone~~, `code`.

- one
  1. two
- three

> quoted

```python
print("{WIDE}")
```

| a | b |
|---|---|
| {WIDE} | 2 |

[a link](https://x.example/p) and ![a picture](https://x.example/p.png)

\\(a<b\\) and

$$
\\begin{{aligned}}
a&=\\frac{{{"x+" * 60}1}}{{2}} \\\\
- b&\\text{{其他}}
\\end{{aligned}}
$$

---

<b>no markup</b>\\
end"""
HOSTILE = """<script>alert(1)</script> <img src=x onerror=alert(1)> <svg/onload=alert(1)>

[1](javascript:alert(1)) <javascript:alert(1)> [2](data:text/html,<script>alert(1)</script>)

[3](https://x.example/"onmouseover="alert(1)) [4](<https://x.example/ onclick=alert(1)>)

![x](https://x.example/pixel.gif) ![x" onerror="alert(1)](https://x.example/a)

| <img src=x onerror=alert(1)> | <iframe src="javascript:alert(1)"></iframe> |
|---|---|
| <details open ontoggle=alert(1)> | \u202e&lt;img src=x onerror=alert(1)&gt; |

\\(\\text{</mtext></math><img src=x onerror=alert(1)>}\\) \\(x</annotation><script>alert(1)</script>\\)

$$\\text{<mglyph><style></math><img src=x onerror=alert(1)>}$$ \\(\\href{javascript:alert(1)}{x}\\)

```"><img src=x onerror=alert(1)>
</code></pre><script>alert(1)</script><img src=x onerror=alert(1)>
```
"""
FORBIDDEN = "script, img, svg, iframe, details, a:not(.cite):not([rel='noopener noreferrer nofollow'])"


@pytest.fixture(scope="module")
def origin(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, folder = free_port(), tmp_path_factory.mktemp("site")
    server = subprocess.Popen([sys.executable, "-m", "dragoman.testing.site", str(port), str(folder), "0"])
    try:
        _wait_for(f"http://127.0.0.1:{port}/", folder / "turn.sock", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(address: str, sock: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the site ended at once"
        try:
            with urllib.request.urlopen(address):
                if sock.exists():
                    return
        except urllib.error.URLError:
            pass  # it does not listen yet
        time.sleep(0.1)
    pytest.fail("the site did not start in 60 s")


def shown(visit: Visit) -> list[str]:
    """The parts of the finished answer as the browser has them, without the script's own buttons."""
    return list(
        visit.page.locator(".finished").evaluate(
            """(node) => {
                const copy = node.cloneNode(true);
                for (const button of copy.querySelectorAll(".copycode")) button.remove();
                return [...copy.children].map((one) => one.outerHTML);
            }"""
        )
    )


@pytest.mark.parametrize("text", [RICH, HOSTILE], ids=["rich", "hostile"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_answer_is_the_same_with_and_without_script(
    visiting: Visiting, origin: str, language: str, text: str
) -> None:
    found = []
    for script in (True, False):
        with visiting(origin, language, script=script) as visit:
            visit.ask(SAY + text)
            found.append(shown(visit))
            assert visit.complaints == []
    assert found[0] == found[1]
    assert len(found[0]) > 4


@pytest.mark.parametrize("script", [True, False])
def test_nothing_of_an_answer_runs(visiting: Visiting, origin: str, *, script: bool) -> None:
    with visiting(origin, script=script) as visit:
        page, dialogs = visit.page, []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        visit.ask(SAY + HOSTILE)
        for link in page.locator(".finished a").all():
            link.hover()
        page.wait_for_timeout(300)
        assert dialogs == []
        assert visit.complaints == []
        assert page.locator(".finished").locator(FORBIDDEN).count() == 0
        assert "<script>alert(1)</script>" in page.locator(".finished").inner_text()


def test_these_tests_would_see_what_runs(browser: Any, visiting: Visiting, origin: str) -> None:
    """The same text as markup: on a page without a policy it runs, on ours the policy's complaint is seen."""
    context = browser.new_context()
    page, dialogs = context.new_page(), []
    page.set_default_timeout(SLOW_MS)
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.set_content(f"<div class=finished>{HOSTILE}</div>")
    page.wait_for_timeout(300)
    assert dialogs
    assert page.locator(".finished").locator(FORBIDDEN).count() > 0
    context.close()
    with visiting(origin) as visit:
        visit.page.evaluate("text => document.getElementById('log').innerHTML = text", HOSTILE)
        visit.page.wait_for_timeout(300)
        assert any("Content Security Policy" in one for one in visit.complaints), visit.complaints


def test_a_wide_answer_scrolls_in_its_own_boxes_on_a_phone(browser: Any, origin: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    page.goto(origin)
    Visit(page, origin).ask(SAY + RICH)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for box in (".code pre", ".table", ".formula"):
        assert page.locator(box).evaluate("node => node.scrollWidth > node.clientWidth"), box
        page.locator(box).focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("box => document.querySelector(box).scrollLeft > 0", arg=box)
    context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_code_is_copied_as_it_is_written(visiting: Visiting, origin: str, language: str) -> None:
    with visiting(origin, language) as visit:
        page = visit.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
        visit.ask(SAY + RICH)
        page.get_by_role("button", name=TEXTS[language]["copy_code"]).click()
        page.locator("#status", has_text=TEXTS[language]["copied"]).wait_for(state="attached")
        assert page.evaluate("navigator.clipboard.readText()") == f'print("{WIDE}")\n'


def test_formulas_are_shown_and_copied_as_they_are_written(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        page = visit.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
        visit.ask(SAY + "So \\(x^2\\) holds.\n\n$$\n\\frac{1}{2}\n$$")
        fraction = page.locator("math[display=block] mfrac")
        assert fraction.evaluate("node => node.clientHeight > 1.5 * node.firstChild.clientHeight")
        assert page.locator("math[alttext='x^2'] annotation").evaluate("node => node.textContent") == "x^2"
        assert not page.locator("annotation").first.is_visible()
        assert page.locator("#status").inner_text().endswith("So \\(x^2\\) holds. $$\\frac{1}{2}$$")
        page.locator(".finished").evaluate("node => getSelection().selectAllChildren(node)")
        page.keyboard.press("Control+c")
        copied = "navigator.clipboard.readText().then((had) => had.endsWith(text))"
        page.wait_for_function(f"text => {copied}", arg="So \\(x^2\\) holds.\n\n$$\\frac{1}{2}$$")
        assert page.locator("math").count() == 2


def test_an_answer_that_cannot_be_rendered_is_plain_text(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        visit.page.route("**/rendered", lambda route: route.abort())
        visit.ask(SAY + HOSTILE)
        assert "[1](javascript:alert(1))" in visit.page.locator(".finished").inner_text()
        assert visit.page.locator(".finished").locator(FORBIDDEN).count() == 0
