"""The page's own reader of Markdown: where it is sure of a text, its tree is the server's; else it says so."""

from __future__ import annotations

import os
import random
import re
import secrets
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from dragoman.visible import visible
from dragoman.web.answer import body
from dragoman.web.nodes import to_json

pytestmark = pytest.mark.browser

SEED = int(os.environ.get("DRAGOMAN_SEED") or secrets.randbits(32))
CASES = int(os.environ.get("DRAGOMAN_CASES", "1500"))
NOWHERE = "http://reader.invalid/"
READ = "async (cases) => { const {nodes} = await import('/reader.js'); return cases.map((one) => nodes(...one)); }"
SEE = """async () => { const {nodes, visible} = await import('/reader.js');
  const all = Array.from({length: 0x110000}, (_, code) => String.fromCodePoint(code));
  return all.map((one, code) => [code, visible(one), nodes(`a${one}`, []) === null]).filter(([code, shown]) => shown !== all[code]);
}"""
TYPICAL = [
    "You may return it within **14 days**. [1]\nBring the receipt. [2]",
    "# Returns\n\nTwo ways:\n\n1. **By post**: print the label.\n2. *In a shop*: bring the box.\n\n---\n\nThat is all.",
    "Some steps:\n- one\n  - one and a half\n- two `x = 1`\n\n```python\ndef f(x):\n\treturn [x]  # <b>\n```\n\n> Quoted, **twice**.",
    "| item | days |\n|---|:-:|\n| lamp | 14 |\n| **chair** | `30` |\n\nSee above.",
    "**注意：**请保留收据。\n\n- 十四天内：退款\n- 三十天内：换货\n\n这是**重点**，不是*例外*。[1]",
    "1. First\n\n2. Second, 5 < 6 & 7 > 2\n\n3. Third: a_b and $5",
    "It was **long** and had no end. " * 70,
    "故事很长，*没有*结尾。" * 200 + "\n\n**完**",
    "　　从前有一座山。\n\n“后来呢？”他问。 😀",
]
"""Answers as models mostly write them."""
WORDS = [
    *(
        "word",
        "Two words",
        "重点",
        "请注意：",
        "（见）",
        "end.",
        "a_b",
        "x*y",
        "5 * 3",
        "C#",
        "**bold**",
        "*em*",
    ),
    *(
        "`code`",
        "**粗体**",
        "**注意：**",
        "[1]",
        "[2]",
        "(see)",
        "|",
        "a | b",
        "-",
        "--",
        "~",
        "1.",
        "2)",
        "#",
    ),
    *(
        "&",
        "& co",
        "<",
        "a<b",
        "http://x.example/a",
        "$5",
        "é",
        "😀",
        "“said”",
        "**a b**,",
        "*x*y",
        "`a` b",
        "**",
    ),
    *("*", "_", "`", "[a](https://x.example)", "![i](u)", "&amp;", "\\*", "~~s~~", "—", "**Bold:** text"),
    *(
        "***both***",
        "`a``b`",
        "\u3000字",
        "\u00a0n",
        "a\tb",
        "$$x$$",
        "\\(x\\)",
        "\u202e",
        "+",
        "=",
        "<b>",
        "**`c`**",
    ),
]
LINES = [
    *(
        "",
        "",
        "",
        "{}",
        "{}",
        "{}",
        "- {}",
        "- {}",
        "* {}",
        "1. {}",
        "2. {}",
        "  - {}",
        "   - {}",
        "    - {}",
    ),
    *("  1. {}", "   1. {}", "## {}", "# {}", "> {}", "> - {}", ">", "---", "***", "===", "```", "```python"),
    *(
        "| {} | {} |",
        "|---|---|",
        "| :-: | --- |",
        "| {} |",
        "|---|",
        " {}",
        "\t{}",
        "{}  ",
        "{}\\",
        "10. {}",
    ),
    *("+ {}", "- ", "-", "1.", "{} | {}", "--- | ---", "> ```", "```js x", "> > {}", " ", "- | -", "~~~"),
]


class Writer:
    """Writes texts of lines at random, and of blocks as they are mostly written."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def words(self) -> str:
        return " ".join(self.random.choice(WORDS) for _ in range(self.random.choice([1, 1, 2, 3, 5])))

    def line(self) -> str:
        return re.sub(r"\{\}", lambda _: self.words(), self.random.choice(LINES))

    def block(self) -> list[str]:
        some = range(self.random.randint(1, 4))
        sign = self.random.choice(["- ", "* ", "1. "])
        gap = [""] if self.random.random() < 0.3 else []
        number = self.random.choice([0, 1, 1, 4])
        row = "| {} | {} |"
        return self.random.choice(
            [
                [f"{'#' * self.random.randint(1, 6)} {self.words()}"],
                [line for _ in some for line in (sign + self.words(), *gap)],
                [line for n in some for line in (f"{number + n}. {self.words()}", *gap)],
                [line for _ in some for line in (sign + self.words(), " " * len(sign) + "- " + self.words())],
                ["```python", *(self.random.choice(["x = 1", "\ty", "", "``", "- a"]) for _ in some), "```"],
                [row.format(self.words(), self.words()), "|---|:-:|", row.format(self.words(), "x")],
                [f"> {self.words()}" for _ in some],
                [self.words() for _ in some],
                [f"{self.words()} " * self.random.choice([1, 20, 400, 1_500])],
            ]
        )

    def text(self) -> str:
        if self.random.random() < 0.4:
            return "\n".join(self.line() for _ in range(self.random.randint(1, 7)))
        gap = self.random.choice(["\n\n", "\n\n", "\n"])
        return gap.join("\n".join(self.block()) for _ in range(self.random.randint(1, 4)))

    def notes(self, text: str) -> list[Any]:
        """A citation for each marker, mostly."""
        many = (
            len(re.findall(r"\[\d{1,3}\]", text)) if self.random.random() < 0.8 else self.random.randint(0, 3)
        )
        cited = [{"url": "/sources/a-b/c#p1", "title": "T [1]"}, {"url": "https://x.example"}, 7]
        return [{"url_citation": self.random.choice(cited)} for _ in range(many)]


def merged(tree: list[Any]) -> list[Any]:
    """A tree with neighbouring texts as one."""
    found: list[Any] = []
    for one in tree:
        if isinstance(one, list):
            found.append([one[0], one[1], merged(one[2])])
        elif one and found and isinstance(found[-1], str):
            found[-1] += one
        elif one:
            found.append(one)
    return found


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """A page on which the module can be loaded."""
    static = resources.files("dragoman.web").joinpath("static")
    source = static.joinpath("reader.js").read_text("utf-8")
    page = browser.new_page()
    page.route(NOWHERE, lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.route(
        f"{NOWHERE}reader.js", lambda route: route.fulfill(body=source, content_type="text/javascript")
    )
    page.goto(NOWHERE)
    yield page
    page.close()


def differing(page: Any, cases: list[tuple[str, list[Any]]]) -> tuple[int, list[Any]]:
    """How many texts the page's reader is sure of, and those that it reads otherwise than the server."""
    found = page.evaluate(READ, [list(one) for one in cases])
    sure = [(case, tree) for case, tree in zip(cases, found, strict=True) if tree is not None]
    return len(sure), [(case, tree) for case, tree in sure if merged(tree) != merged(to_json(body(*case)))]


def test_where_it_is_sure_it_reads_as_the_server(page: Any) -> None:
    writer = Writer(SEED)
    texts = [writer.text() for _ in range(CASES)]
    sure, wrong = differing(page, [(text, writer.notes(text)) for text in texts])
    assert wrong == [], f"DRAGOMAN_SEED={SEED}: {str(wrong[:3])[:5000]}"
    assert sure > CASES / 20, f"DRAGOMAN_SEED={SEED}: sure of {sure} only"


def test_it_is_sure_of_what_models_mostly_write(page: Any) -> None:
    notes = [{"url_citation": {"url": "/sources/a/b#p1s1", "title": "A page"}}]
    cases = [(text, notes * len(re.findall(r"\[\d\]", text))) for text in TYPICAL]
    assert differing(page, cases) == (len(cases), [])


def test_it_names_the_characters_that_the_server_names(page: Any) -> None:
    """Of all that there are; and leaves texts with one to the server."""
    named = [[code, visible(chr(code)), True] for code in range(0x110000) if visible(chr(code)) != chr(code)]
    assert [0x202E, "⟨U+202E⟩", True] in named
    assert page.evaluate(SEE) == named


def test_a_reader_that_is_wrong_is_found(page: Any) -> None:
    """Negative control: the same comparison with citations given to one side alone."""
    notes = [{"url_citation": {"url": "/sources/a/b", "title": ""}}]
    found = page.evaluate(READ, [["One. [1]", notes]])
    assert merged(found[0]) == merged(to_json(body("One. [1]", notes)))
    assert merged(found[0]) != merged(to_json(body("One. [1]", [])))
    wrong = ["**a b**", "- a\n- b"]
    trees = page.evaluate(READ, [[one, []] for one in wrong])
    assert [
        merged(tree) == merged(to_json(body(other, [])))
        for tree, other in zip(trees, wrong[::-1], strict=True)
    ] == [False, False]


def test_it_takes_no_longer_than_a_text_is_long(page: Any) -> None:
    """Whatever a text is made of, the longest that it reads is read before a person notices."""
    times = page.evaluate(
        """async (parts) => { const {nodes} = await import('/reader.js'); return parts.map((part) => {
            const text = part.repeat(16_384 / part.length); const begun = performance.now();
            nodes(text, []); return performance.now() - begun; }); }""",
        [
            "a ",
            "*a* ",
            "**",
            "`",
            "`a` ",
            "[1]",
            "- a\n",
            "> ",
            "| a ",
            "1. a\n\n",
            "# a\n",
            "a_",
            "  - a\n",
            "|-",
            "\n",
        ],
    )
    assert max(times) < 2_000, times
