"""Answers as Markdown: what is shown, and that hostile text stays text whatever it is made of."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.web import markdown
from dragoman.web.markdown import nodes
from dragoman.web.nodes import DEPTH, NODES, Element, Node, counted, sanitised, to_html, to_json

ATTRIBUTES = {
    "a": {"class", "href", "rel", "title"},
    "div": {"class", "tabindex"},
    "ol": {"start"},
    "p": {"class"},
    "pre": {"tabindex"},
    "span": {"class", "tabindex"},
    "math": {"alttext", "display"},
    "annotation": {"encoding"},
    "menclose": {"notation"},
    "mfrac": {"linethickness", "displaystyle", "scriptlevel"},
    "mi": {"mathvariant"},
    "mo": {"form", "lspace", "maxsize", "minsize", "movablelimits", "rspace", "stretchy", "symmetric"},
    "mover": {"accent"},
    "mpadded": {"height", "width"},
    "mrow": {"displaystyle", "scriptlevel"},
    "mspace": {"width"},
    "mtable": {"displaystyle", "scriptlevel"},
    "mtd": {"class"},
    "munder": {"accentunder"},
    "munderover": {"accent", "accentunder"},
}
MATHS = {
    *("annotation", "menclose", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom"),
    *("mprescripts", "mroot", "mrow", "mspace", "msqrt", "msub", "msubsup", "msup", "mtable", "mtd", "mtext"),
    *("mtr", "munder", "munderover", "semantics"),
}
NAMES = {
    *MATHS,
    *("blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "li", "s", "strong"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul", *ATTRIBUTES),
}
"""Written down again: what the code allows by mistake is not allowed here."""

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<svg/onload=alert(1)>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<!--<img src=--><img src=x onerror=alert(1)>-->",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<style>*{background:url(//x.example)}</style>",
    "<base href='//x.example/'><meta http-equiv=refresh content='0;url=//x.example'>",
    "[1](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](vbscript:msgbox(1))",
    "[x](file:///etc/passwd)",
    "[x](blob:https://x.example/1)",
    "[x](//x.example/)",
    "[x](/\\x.example/)",
    "[x](https:x.example)",
    "[x](https://bank.example@x.example/)",
    "[x](https://bank.example%40x.example/)",
    "[x](https://bank.example\\@x.example/)",
    "[x](<https://x.example/ onclick=alert(1)>)",
    '[x](https://x.example/"onmouseover="alert(1))',
    "[x](https://x.example/ \"' onmouseover='alert(1)\")",
    "<javascript:alert(1)>",
    "<https://x.example/\"onclick='alert(1)'>",
    "[x][r]\n\n[r]: javascript:alert(1)",
    "[r]: javascript:alert(1)",
    "![x](https://x.example/pixel.gif)",
    "![x](data:image/svg+xml,<svg/onload=alert(1)>)",
    '![x" onerror="alert(1)](x)',
    "![![x](https://x.example/a)](https://x.example/b)",
    "[![x](https://x.example/a)](https://x.example/b)",
    '```"><script>alert(1)</script>\ncode\n```',
    "```html onload=alert(1)\n</code></pre><script>alert(1)</script>\n```",
    "~~~</pre><img/src/onerror=alert(1)>\n</pre>",
    "`</code><script>alert(1)</script>`",
    "| <script>alert(1)</script> | b |\n|---|:-:|\n| <img src=x onerror=alert(1)> | x |",
    "$$</code><script>alert(1)</script>$$",
    "\\(</code><img src=x onerror=alert(1)>\\)",
    "\\(<script>alert(1)</script>\\)",
    "\\(\\text{</mtext><img src=x onerror=alert(1)>}\\)",
    "\\(\\text{</math><img src=x onerror=alert(1)>}\\)",
    '$$\\text{\\textbf{<mglyph><style><!--</style><img title="--><img src=x onerror=alert(1)>">}}$$',
    "\\(\\href{javascript:alert(1)}{x}\\)",
    "\\(\\ref{javascript:alert(1)}\\)",
    '$$\\begin{align}x\\label{"onclick=alert(1)}\\end{align}\\ref{"onclick=alert(1)}$$',
    "\\(\\style{background:url(//x.example)}{x}\\class{cite}{x}\\cssId{q}{x}\\)",
    "\\(\\color{red;background:url(//x.example)}x\\includegraphics{//x.example/a}\\)",
    "\\(\\hspace{-99em}\\raisebox{-99em}{over the page}\\)",
    "\\[\\newcommand{\\a}[1]{#1#1}\\a{\\a{\\a{x}}}\\]",
    "\\(</annotation><script>alert(1)</script>\\)",
    "$$\u202e\ud800\x00$$",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "1\u202egnp.exe\u202c \u2066x\u2069",
    "\ud800<script>\udfff",
    "\x00<script>\x1b]8;;javascript:alert(1)\x07x",
    "> " * 500 + "<script>",
    "- " * 500 + "<script>",
    "*" * 5_000 + "x" + "*" * 5_000,
    "**a " * 400 + "b**" * 400,
    "[" * 3_000 + "](javascript:alert(1))" * 100,
]


class Reader(HTMLParser):
    """Reads a page as a browser would, and complains of what no answer may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag not in NAMES:
            self.wrong.append(tag)
        for name, value in attrs:
            if name not in ATTRIBUTES.get(tag, set()):
                self.wrong.append(f"{tag} {name}")
            if name == "href" and not str(value).startswith(("https://", "http://", "/sources/")):
                self.wrong.append(f"{tag} {name}={value}")
            if name == "href" and str(value).startswith("http") and ("rel", REL) not in attrs:
                self.wrong.append(f"{tag} without rel")


REL = "noopener noreferrer nofollow"


def complaints(html: str) -> list[str]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.wrong


def elements(found: list[Node], depth: int = 1) -> Iterator[tuple[Element, int]]:
    for node in found:
        if isinstance(node, Element):
            yield node, depth
            yield from elements(node.children, depth + 1)


def misplaced(found: list[Node], within: str = "page") -> list[str]:
    """Elements that a page would read as others, or elsewhere, than the tree says."""
    wrong = []
    for node in found:
        if isinstance(node, str):
            continue
        fits = {"page": node.name not in MATHS, "maths": node.name in MATHS, "text": False}[within]
        inner = {"math": "maths", **dict.fromkeys(("mi", "mn", "mo", "mtext", "annotation"), "text")}
        wrong += ([] if fits else [f"{node.name} in {within}"]) + misplaced(
            node.children, inner.get(node.name, within)
        )
    return wrong


def said(found: list[Node]) -> str:
    return "".join(node if isinstance(node, str) else said(node.children) for node in found)


def shown(text: str) -> str:
    return str(to_html(nodes(text, [])))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text: str) -> None:
    for wrapped in (
        text,
        f"- {text}",
        f"> {text}",
        f"# {text}",
        f"**{text}**",
        f"[{text}](https://y.example)",
    ):
        found = nodes(wrapped, [])
        html = str(to_html(found))
        assert complaints(html) == []
        assert misplaced(found) == []
        html.encode()
        json.dumps(to_json(found), ensure_ascii=False).encode()
        assert max((depth for _, depth in elements(found)), default=0) <= DEPTH


def test_the_reader_of_these_tests_sees_what_is_wrong() -> None:
    for html in (
        "<script>",
        "<p onclick=x>",
        "<a href='javascript:x'>",
        "<a href='https://x'>",
        "<img src=x>",
    ):
        assert complaints(html), html
    assert misplaced([Element("p", {}, [Element("mi", {}, ["x"])])])
    assert misplaced([Element("math", {}, [Element("mi", {}, [Element("mi")])])])
    assert misplaced([Element("math", {}, [Element("p")])])


ATTRIBUTE = st.dictionaries(
    st.sampled_from(["href", "class", "onclick", "style", "title", "rel", "start", "src", "tabindex", "id"]),
    st.sampled_from(
        ["javascript:x", "https://x.example/", "/sources/a/b", "code", "0", '"><script>', "1 x", "\ud800"]
    ),
)
TREES = st.recursive(
    st.text(),
    lambda inner: st.builds(
        Element,
        st.sampled_from(
            [*sorted(NAMES), "script", "img", "h1", "svg", "form", "p onclick=x", "mglyph", "annotation-xml"]
        ),
        ATTRIBUTE,
        st.lists(inner, max_size=3),
    ),
    max_leaves=12,
)


@given(st.lists(TREES, max_size=4))
def test_nothing_else_leaves_whoever_built_the_tree(tree: list[Node]) -> None:
    found = sanitised(tree)
    assert complaints(str(to_html(found))) == []
    assert misplaced(found) == []


PIECES = st.sampled_from(
    [*"<>[]()!*_`~#-|>\\&:;\"' \n\t0aé你", "\n\n", "    ", "```", "| - |", "https://x.example/", "1. "]
)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=120).map("".join)))
def test_any_text_becomes_allowed_nodes_only(text: str) -> None:
    found = nodes(text, [])
    assert complaints(str(to_html(found))) == []
    names = [one.name for one, _ in elements(found)]
    reader = Reader()
    reader.feed(str(to_html(found)))
    assert reader.names == names, "the page has other elements than the tree"


LETTERS = st.text(alphabet="abcxyz0你好", min_size=1, max_size=6)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(["- ", "> ", "1. ", "  ", "# ", "* > "]), max_size=30), LETTERS)
    )
)
def test_no_word_is_lost_however_deep_it_stands(lines: list[tuple[list[str], str]]) -> None:
    text = "\n".join("".join(marks) + word for marks, word in lines)
    left = said(nodes(text, []))
    for _, word in lines:
        assert word in left


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# a", "<h3>a</h3>"),
        ("###### a", "<h6>a</h6>"),
        ("a\nb  \nc", "<p>a\nb<br>c</p>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("3. a", '<ol start="3"><li>a</li></ol>'),
        ("*a* **b** ~~c~~ `d`", "<p><em>a</em> <strong>b</strong> <s>c</s> <code>d</code></p>"),
        ("**注意：**请看*“甲”*的", "<p><strong>注意：</strong>请看<em>“甲”</em>的</p>"),
        ("**注意：**bold", "<p><strong>注意：</strong>bold</p>"),
        ("a**（乙）**b", "<p>a<strong>（乙）</strong>b</p>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
        ("> a\n\n---", "<blockquote><p>a</p></blockquote><hr>"),
        (
            "```py x\na\n```",
            '<div class="code"><span class="language">py</span><pre tabindex="0">\n<code>a\n</code></pre></div>',
        ),
        (
            "|a|\n|-|\n|b|",
            (
                '<div class="table" tabindex="0"><table><thead><tr><th>a</th></tr></thead>'
                "<tbody><tr><td>b</td></tr></tbody></table></div>"
            ),
        ),
        (
            "[a](https://x.example/p)",
            f'<p><a href="https://x.example/p" rel="{REL}">a</a><span class="to"> (x.example)</span></p>',
        ),
        (
            "<https://x.example/p>",
            f'<p><a href="https://x.example/p" rel="{REL}">https://x.example/p</a></p>',
        ),
        ("[a](mailto:a@x.example)", "<p>[a](mailto:a@x.example)</p>"),
        ("![a *b*](https://x.example/p.png)", "<p>a *b* (https://x.example/p.png)</p>"),
        ("\u202eab", "<p>⟨U+202E⟩ab</p>"),
        (r"\(\what * b_1 * c\)", r"<p><code>\(\what * b_1 * c\)</code></p>"),
        ("[r]: https://x.example/", "<p>[r]: https://x.example/</p>"),
    ],
)
def test_what_is_shown(text: str, html: str) -> None:
    assert shown(text) == html


def test_a_link_that_names_another_place_says_where_it_leads() -> None:
    assert said(nodes("[https://bank.example](https://x.example/)", [])).endswith("(x.example)")
    assert "(xn--" in said(nodes("<https://b\u0430nk.example/>", []))


def test_what_is_too_long_is_plain_and_whole() -> None:
    long = "**a** " * (markdown.MARKDOWN_CHARS // 6 + 1)
    assert shown(long) == f"<p>{long}</p>"
    paragraph = "**a** " * (markdown.INLINE_CHARS // 6 + 1)
    assert shown(f"**b**\n\n{paragraph}") == f"<p><strong>b</strong></p><p>{paragraph.strip()}</p>"
    table = "|a|a|\n|-|-|\n" + "|x|y|\n" * 7_000
    assert shown(table) == f"<p>{table}</p>"


def table(columns: int, rows: int) -> str:
    """A table whose rows have one cell each: the others are completed."""
    return "a|" * columns + "\n" + "-|" * columns + "\n" + "x|\n" * rows + "\n"


def test_rows_of_fewer_cells_are_completed() -> None:
    cells = "<td>x</td><td></td><td></td><td></td>"
    assert shown(table(4, 3)).count(f"<tr>{cells}</tr>") == 3
    assert shown(table(16, 40) * 3).count("<td>x</td>" + "<td></td>" * 15) == 120


def test_a_text_of_too_many_completed_cells_is_plain_and_whole() -> None:
    within = markdown.EMPTY_CELLS // 50
    assert "<table>" in shown(table(51, within))
    text = table(51, within * 2)
    assert shown(text) == f"<p>{text}</p>"
    several = table(51, within - 1) * 4
    assert shown(several) == f"<p>{several}</p>", "the bound is one for all tables of a text"
    assert said(nodes(several + "[1]", [("/sources/a/b", "")])) == several + "[1]"


BYTES = 2_000
"""Bytes of memory that a code point may take while its text is read, and as many each of EMPTY_CELLS."""
WIDE = [
    *(table(side, side) for side in (40, 44, 70, 256)),
    table(2, 4_000),
    table(4_000, 2),
    "".join("> " * 10 + line + "\n" for line in table(250, 250).splitlines()),
    "a|" * 200 + "\n" + "-|" * 200 + "\n" + ("|" * 200 + "\n") * 95,
]


def most_bytes(text: str) -> int:
    nodes("warm *up*", [])
    tracemalloc.start()
    try:
        assert counted(nodes(text, [])) <= NODES
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", WIDE)
@pytest.mark.parametrize("times", [1, 2, 4, 8])
def test_memory_is_linear_in_the_text_whatever_its_tables_complete(text: str, times: int) -> None:
    whole = (text * times)[: markdown.MARKDOWN_CHARS]
    assert most_bytes(whole) < BYTES * (markdown.EMPTY_CELLS + len(whole))


@pytest.mark.parametrize("times", [1, 4])
def test_without_the_bound_a_table_takes_more(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(markdown, "_CELL_TOKENS", NODES)
    text = table(256, 256) * times
    assert most_bytes(text) > 5 * BYTES * (markdown.EMPTY_CELLS + len(text))


SLOW = [
    "[",
    "![",
    "![[]()",
    "[a](",
    "[a](<b",
    "**a",
    "*a_b",
    "*你_",
    "`a ``",
    "~~a ",
    "<https://a",
    "&amp",
    "$$a ",
    "$$a$$ ",
    "\\(a\\)",
    "\\[\n",
    "$$\na\n$$\n",
    "\\(\\what\\) ",
    "\\[a\n" * 99 + "\n\\]\n",
    "$$" + "x_1^2" * 399 + "$$\n\n",
]
SLOW += [
    "> ",
    "- ",
    "- a\n",
    "  - a\n",
    ">a\n",
    "|a|b|c\n",
    "~~~\n",
    "***\n",
    "\u202e",
    "a\n\n",
    "\\(",
    "[1]",
    table(40, 40),
    table(250, 262),
    "|a|b\n|-|-\n",
    "a|" * 500 + "\n" + "-|" * 500 + "\n",
]


@pytest.mark.parametrize("piece", SLOW)
@pytest.mark.parametrize("paragraph", [markdown.INLINE_CHARS - 2, markdown.MARKDOWN_CHARS])
def test_time_is_linear_and_the_page_bounded(piece: str, paragraph: int) -> None:
    """Eight times the text may take no more than 24 times as long: the square would take 64 times."""

    def made(size: int) -> str:
        one = (piece * (paragraph // len(piece)))[:paragraph] + "\n\n"
        return (one * (size // len(one) + 1))[:size]

    def seconds(text: str) -> float:
        # The collector looks at all that the process holds, which is not this text's doing.
        gc.disable()
        try:
            start = time.process_time()
            found = nodes(text, [])
            took = time.process_time() - start
        finally:
            gc.enable()
        assert counted(found) <= NODES
        return took

    whole = markdown.MARKDOWN_CHARS
    part = min(seconds(made(whole // 8)) for _ in range(3))
    # A pause of the machine hits one try; the square would hit each.
    assert any(seconds(made(whole)) < 24 * max(part, 0.005) for _ in range(3))
