"""An answer's Markdown as the nodes of a page, read by markdown-it-py within bounds of our own.

Pure, and linear in the text. It knows neither HTML, images nor references; a link leads to http(s) alone
and says where. Nothing of a text is lost: what is too deep, too long or too much is plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from dragoman.web.maths import FORMULA_CHARS, Formulas
from dragoman.web.nodes import NODES, WEB_LINK, Element, Node, counted, sanitised

MARKDOWN_CHARS = 65_536
"""LIMIT: code points of a text that is read as Markdown; a longer one is plain."""
INLINE_CHARS = 2_048
"""LIMIT: code points of a paragraph, heading or cell in which emphasis, code and links are read: where the
reader takes the square of a paragraph's length, the whole stays linear."""
NESTING = 16
"""LIMIT: blocks that stand in each other; what is deeper is a paragraph."""
FORMULA_LINES = 100
"""LIMIT: lines of a formula that begins a line and ends one."""
EMPTY_CELLS = 2_000
"""LIMIT: blocks of a text beyond one for each of its code points. Only tables have such: a row may be shorter
than its table's head, and is completed with empty cells. A text with more is plain."""
CITATIONS = 1_000
"""LIMIT: citations of an answer whose markers are links."""

Citation = tuple[str, str]
"""The page of a citation, and its title."""

_CELL_TOKENS = 3
"""Tokens that the reader makes of a cell: opened, what stands in it, closed. No block has more."""
_MARKER = re.compile(r"\[(\d{1,3})\]")
_LANGUAGE = re.compile(r"[A-Za-z0-9+#._-]{1,30}")
_LEVELS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}
"""The page has the levels 1 and 2 for itself."""
_MATHS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}
_BLOCKS = {"\\[", "$$"}
_EAST_ASIAN = re.compile(
    "[\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uffef\U00020000-\U0003ffff]"
)


def nodes(text: str, links: Sequence[Citation | None], *, plain: bool = False) -> list[Node]:
    """The sanitised nodes of a text, which is not read as Markdown where it is to be `plain`.

    The nth marker `[n]` outside of code and links takes the nth citation. Where markers and citations differ
    in number (a rule took some out), no marker is linked.
    """
    tokens = None if plain or len(text) > MARKDOWN_CHARS else _read(text)
    if tokens is not None:
        found = _Builder(_counted_links(_prose(tokens), links)).tree(tokens)
        if counted(found) <= NODES:
            return sanitised(found)
    return sanitised([Element("p", {}, _Builder(_counted_links([text], links)).text(text))])


def _read(text: str) -> list[Token] | None:
    """The reader's tokens; None where the text has more blocks than it may."""
    try:
        return _READER.parse(text)
    except _TooManyError:
        return None


class _TooManyError(Exception):
    """A text of more blocks than it may have."""


class _Blocks(list[Token]):
    """The blocks of a text as the reader makes them, which ends where there are too many for its length.

    They are counted here since the reader bounds empty cells for each table alone, and at 65,536.
    """

    def __init__(self, chars: int) -> None:
        super().__init__()
        self._most = _CELL_TOKENS * min(NODES, EMPTY_CELLS + chars)

    def append(self, token: Token) -> None:
        if len(self) >= self._most:
            raise _TooManyError
        super().append(token)


def _counted_links(texts: Iterable[str], links: Sequence[Citation | None]) -> Sequence[Citation | None]:
    """The citations, where every one has its marker."""
    if not 0 < len(links) <= CITATIONS:
        return ()
    return links if sum(len(_MARKER.findall(text)) for text in texts) == len(links) else ()


def _prose(tokens: Iterable[Token]) -> Iterator[str]:
    """The texts outside of code and links."""
    for token in tokens:
        within = 0
        for child in token.children or ():
            within += child.nesting if child.tag == "a" else 0
            if child.type == "text" and not within:
                yield child.content


class _Builder:
    """Makes elements of the reader's flat tokens, giving out the citations in the order of the text."""

    def __init__(self, links: Sequence[Citation | None]) -> None:
        self._following = iter(links)
        self._within_link = False
        self._formulas = Formulas()

    def tree(self, tokens: Iterable[Token]) -> list[Node]:
        """The nodes of tokens, which may be nested without bound."""
        holders = [Element("")]
        for token in tokens:
            if token.hidden:
                continue  # the paragraph of an item in a list without blank lines
            if token.nesting < 0:
                closed = holders.pop()
                holders[-1].children += self._closed(closed)
            elif token.nesting > 0:
                holders.append(self._opened(token))
            else:
                holders[-1].children += self._single(token)
        return holders[0].children

    def text(self, text: str) -> list[Node]:
        """A text with its markers as links."""
        made: list[Node] = []
        at = 0
        for match in () if self._within_link else _MARKER.finditer(text):
            link = next(self._following, None)
            if link is None:
                continue
            before = text[at : match.start()]
            # A space before a marker keeps it on the line of its sentence.
            made.append(before[:-1] + "\u00a0" if before.endswith(" ") else before)
            made.append(Element("a", {"class": "cite", "href": link[0], "title": link[1]}, [match.group()]))
            at = match.end()
        return [node for node in (*made, text[at:]) if node != ""]

    def _opened(self, token: Token) -> Element:
        element = Element(_LEVELS.get(token.tag, token.tag))
        if token.tag == "a":
            self._within_link = True
            element.attrs["href"] = str(token.attrs["href"])
        if token.tag == "ol" and "start" in token.attrs:
            element.attrs["start"] = str(token.attrs["start"])
        return element

    def _closed(self, element: Element) -> list[Node]:
        if element.name == "table":
            return [Element("div", {"class": "table", "tabindex": "0"}, [element])]
        if element.name == "a":
            self._within_link = False
            return [element, *_whither(element)]
        return [element]

    def _single(self, token: Token) -> list[Node]:
        if token.type == "inline":
            return self.tree(token.children or ())
        if token.type == "text":
            return self.text(token.content)
        if token.type == "formula":
            shown = self._formulas.shown(token.content, token.content[2:-2], block=token.markup in _BLOCKS)
            return [shown]
        return [_leaf(token)]


def _leaf(token: Token) -> Node:
    """What holds nothing else. An image is not loaded: what it shows and where it is are told."""
    match token.type:
        case "softbreak":
            return "\n"  # the page shows it as a break
        case "hardbreak" | "hr":
            return Element(token.tag)
        case "code_inline":
            return Element("code", {}, [token.content])
        case "fence" | "code_block":
            return _code(token)
        case "image":
            return f"{token.content} ({token.attrs['src']})"
    return token.content


def _whither(link: Element) -> list[Node]:
    """Where a link leads, unless that is what it says."""
    said = "".join(node for node in link.children if isinstance(node, str))
    address = WEB_LINK.fullmatch(link.attrs["href"])
    if address is None or said == address[0]:
        return []
    return [Element("span", {"class": "to"}, [f" ({address[1]})"])]


def _code(token: Token) -> Element:
    box = Element("div", {"class": "code"})
    language = _LANGUAGE.match(token.info.strip())
    if language:
        box.children.append(Element("span", {"class": "language"}, [language.group()]))
    box.children.append(Element("pre", {"tabindex": "0"}, [Element("code", {}, [token.content])]))
    return box


def _block(state: StateCore) -> None:
    """Read the blocks of a text, where they are not too many."""
    state.tokens = _Blocks(len(state.src))
    state.md.block.parse(state.src, state.md, state.env, state.tokens)


def _deep(state: StateBlock, start: int, end: int, _silent: bool) -> bool:
    """What is nested too deep is a paragraph; the reader would leave it out."""
    if state.level < NESTING:
        return False
    after = start + 1
    while after < end and (state.isEmpty(after) or state.sCount[after] >= state.blkIndent):
        after += 1
    state.push("paragraph_open", "p", 1)
    token = state.push("inline", "", 0)
    token.content = state.getLines(start, after, state.blkIndent, False).strip()
    state.push("paragraph_close", "p", -1)
    state.line = after
    return True


def _inline(state: StateCore) -> None:
    """Read what stands in paragraphs, where they are not too long."""
    for token in state.tokens:
        if token.type == "inline":
            token.children = []
            if len(token.content) <= INLINE_CHARS:
                state.md.inline.parse(token.content, state.md, state.env, token.children)
            else:
                token.children.append(Token("text", "", 0, content=token.content))


def _maths(state: StateInline, silent: bool) -> bool:
    """A formula in a line: its backslashes, stars and underscores are no Markdown."""
    opening = state.src[state.pos : state.pos + 2]
    closing = _MATHS.get(opening)
    end = -1 if closing is None else state.src.find(closing, state.pos + 2, state.posMax)
    if end < 0:
        return False
    if not silent:
        formula = state.push("formula", "", 0)
        formula.markup, formula.content = opening, state.src[state.pos : end + 2]
    state.pos = end + 2
    return True


def _maths_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula that begins a line and ends one: its lines are no lists, rules or headings."""
    at = state.bMarks[start] + state.tShift[start]
    opening = state.src[at : at + 2]
    if opening not in _BLOCKS or state.is_code_block(start):
        return False
    close = state.src.find(_MATHS[opening], at + 2, min(at + 4 + FORMULA_CHARS, state.eMarks[end - 1]))
    if close < 0:
        return False
    after = start + 1 + state.src.count("\n", at, close)
    if (
        after > min(end, start + FORMULA_LINES)
        or state.src[close + 2 : state.eMarks[after - 1]].strip()
        or _leaves(state, start, after)
    ):
        return False
    if not silent:
        state.push("paragraph_open", "p", 1)
        formula = state.push("formula", "", 0)
        written = state.getLines(start, after, state.blkIndent, False).strip()
        formula.markup, formula.content = opening, written
        state.push("paragraph_close", "p", -1)
        state.line = after
    return True


def _leaves(state: StateBlock, start: int, after: int) -> bool:
    """Whether a line is empty or stands outside of the list or quote that the first stands in."""
    return any(state.isEmpty(line) or state.sCount[line] < state.blkIndent for line in range(start, after))


def _emphasis(state: StateInline, silent: bool) -> bool:
    """Stars beside Han, kana and their punctuation need no space to open or close: `**注意：**请`."""
    if silent or state.src[state.pos] != "*":
        return False
    scanned = state.scanDelims(state.pos, True)
    end = state.pos + scanned.length
    before, after = state.src[state.pos - 1 : state.pos], state.src[end : end + 1]
    beside = bool(_EAST_ASIAN.match(before) or _EAST_ASIAN.match(after))
    opens = scanned.can_open or (beside and bool(after.strip()))
    closes = scanned.can_close or (beside and bool(before.strip()))
    for _ in range(scanned.length):
        state.push("text", "", 0).content = "*"
        state.delimiters.append(
            Delimiter(
                marker=ord("*"),
                length=scanned.length,
                token=len(state.tokens) - 1,
                end=-1,
                open=opens,
                close=closes,
            )
        )
    state.pos = end
    return True


def _reader() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING + 4})
    made.enable(["table", "strikethrough"]).disable(["html_block", "html_inline", "reference"])
    made.block.ruler.before("table", "deep", _deep)
    made.block.ruler.before("table", "maths", _maths_block, {"alt": ["paragraph"]})
    made.core.ruler.at("block", _block)
    made.core.ruler.at("inline", _inline)
    made.inline.ruler.before("escape", "maths", _maths)
    made.inline.ruler.before("emphasis", "stars", _emphasis)
    made.validateLink = lambda url: WEB_LINK.fullmatch(url) is not None  # type: ignore[method-assign]
    return made


_READER = _reader()
