"""Parses one file (Markdown, HTML, plain text, FAQ table) into a document of passages. Pure.

Runs in worker processes; opens no database and no network. What it cannot read it refuses and says why.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token

from dragoman.knowledge.faq import questions
from dragoman.knowledge.faults import refused
from dragoman.knowledge.language import language_of
from dragoman.knowledge.model import Document
from dragoman.knowledge.passages import Block, cut

MAX_DOCUMENT_BYTES = 20 * 1024 * 1024
"""LIMIT: bytes of one file."""
MAX_DOCUMENT_SAID = f"{MAX_DOCUMENT_BYTES // 1024 // 1024} MiB"
MAX_PASSAGES = 100_000
"""LIMIT: passages of one document."""
MAX_TITLE = 200
"""LIMIT: code points of a title or a heading; more is cut."""

SUFFIXES = (".md", ".markdown", ".html", ".htm", ".txt", ".csv")

_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_PAIR = re.compile(rb"[\x81-\xfe](?:[0-9][\x81-\xfe][0-9]|([\x40-\x7e])|[\x80-\xfe])")
"""A character of GB 18030 beyond ASCII; its group is a second byte that is a letter or sign of ASCII."""
_SKIPPED_ELEMENTS = frozenset(
    {"script", "style", "template", "noscript", "svg", "nav", "head", "iframe", "object"}
)
_VOID = frozenset(
    {"br", "hr", "img", "input", "link", "meta", "wbr", "source", "area", "col", "embed", "track"}
)
_BLOCK_ELEMENTS = frozenset(
    {
        "p",
        "div",
        "section",
        "article",
        "main",
        "header",
        "footer",
        "aside",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
    }
    | {"table", "tr", "pre", "blockquote", "figure", "figcaption"}
)
_HEADING = re.compile(r"h([1-6])")


def parse(name: str, data: bytes, document_id: str) -> Document:
    """The document in `data`; `name` is its file name, whose ending decides how it is read."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise refused("too_large", limit=MAX_DOCUMENT_SAID)
    suffix = suffix_of(name)
    if suffix not in SUFFIXES:
        raise refused("unknown_kind", what=suffix, known=", ".join(SUFFIXES))
    text = _decoded(data)
    front, text = _front_matter(text)
    blocks = list(_READERS[suffix](text))
    passages = tuple(cut(blocks))
    if not passages:
        raise refused("empty")
    if len(passages) > MAX_PASSAGES:
        raise refused("too_many_passages", limit=str(MAX_PASSAGES))
    title = front.get("title") or _first_heading(blocks) or name.rpartition("/")[2].rpartition(".")[0]
    language = front.get("lang") or language_of("".join(p.text for p in passages[:20]))
    return Document(document_id, title[:MAX_TITLE], language, hashlib.sha256(data).hexdigest(), passages)


def suffix_of(name: str) -> str:
    """The ending of a file's name with its dot, in small letters: `.md`; `.` where it has none."""
    return "." + (name.rpartition(".")[2].lower() if "." in name else "")


def _decoded(data: bytes) -> str:
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise refused("utf16")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text or (encoding == "gb18030" and not _is_chinese(data)):
            break
        return text
    raise refused("encoding")


def _is_chinese(data: bytes) -> bool:
    """Whether bytes that GB 18030 can read were written so: accents of Latin-1 stand before ASCII letters."""
    pairs = _PAIR.findall(data)
    return 2 * sum(map(bool, pairs)) < len(pairs)


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    """`key: value` lines between two `---` lines at the very start."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}, text
    pairs = (line.partition(":") for line in match.group(1).splitlines())
    return {key.strip(): value.strip().strip("\"'") for key, colon, value in pairs if colon}, text[
        match.end() :
    ]


def _first_heading(blocks: list[Block]) -> str | None:
    return next((block.heading[0] for block in blocks if block.heading), None)


class _Outline:
    """The headings above the current place."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, text: str) -> None:
        self._open = [(depth, title) for depth, title in self._open if depth < level]
        if text := " ".join(text.split())[:MAX_TITLE]:
            self._open.append((level, text))

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(title for _, title in self._open)


def _markdown(text: str) -> Iterator[Block]:
    outline = _Outline()
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)
    row: list[str] | None = None
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row:
            yield Block(" | ".join(row), outline.path)
            row = None
        elif token.type == "inline":
            plain = _inline_text(token)
            if before is not None and before.type == "heading_open":
                outline.enter(int(before.tag[1]), plain)
            elif row is not None:
                row.append(plain)
            else:
                yield Block(plain, outline.path)
        elif token.type in {"fence", "code_block"}:
            yield Block(token.content, outline.path)


def _inline_text(token: Token) -> str:
    parts: list[str] = []
    for child in token.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            parts.append("\n" if child.type == "hardbreak" else _soft_space(parts))
        elif child.type == "image":
            parts.append(str(child.content))
        else:
            parts.append(child.content)
    return "".join(parts)


def _soft_space(parts: list[str]) -> str:
    """A source line break is a space, but nothing between two Chinese characters."""
    last = parts[-1][-1:] if parts else ""
    return "" if "\u2e80" <= last <= "\uffef" else " "


class _Page(HTMLParser):
    """Collects blocks of visible text; scripts, styles and navigation are left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._outline = _Outline()
        self._text: list[str] = []
        self._skipped: list[str] = []
        self._heading = 0

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block or a heading, or skip the element."""
        if self._skipped or tag in _SKIPPED_ELEMENTS:
            if tag not in _VOID:
                self._skipped.append(tag)
            return
        if tag == "br":
            self._text.append("\n")
        elif match := _HEADING.fullmatch(tag):
            self.flush()
            self._heading = int(match.group(1))
        elif tag in _BLOCK_ELEMENTS:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        """End what the tag began."""
        if self._skipped:
            if tag in self._skipped:
                while self._skipped.pop() != tag:
                    pass
        elif _HEADING.fullmatch(tag) and self._heading:
            self._outline.enter(self._heading, "".join(self._text))
            self._text, self._heading = [], 0
        elif tag in _BLOCK_ELEMENTS:
            self.flush()

    def handle_data(self, data: str) -> None:
        """Keep visible text."""
        if not self._skipped:
            self._text.append(data)

    def flush(self) -> None:
        """End the current block."""
        lines = (" ".join(line.split()) for line in "".join(self._text).split("\n"))
        if text := " ".join(line for line in lines if line):
            self.blocks.append(Block(text, self._outline.path))
        self._text, self._heading = [], 0


def _html(text: str) -> Iterator[Block]:
    page = _Page()
    page.feed(text)
    page.close()
    page.flush()
    yield from page.blocks


def _plain(text: str) -> Iterator[Block]:
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        yield Block(paragraph)


def _faq(text: str) -> Iterator[Block]:
    """A table with a question and an answer column: each question is the heading of its answer."""
    for question, answer in questions(text):
        yield Block(answer, (" ".join(question.split())[:MAX_TITLE],))


_READERS = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".txt": _plain,
    ".csv": _faq,
}
