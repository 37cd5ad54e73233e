"""Formulas of an answer as MathML, read by math-core within bounds of our own.

Its output is a text to us like any other: it is read again as elements, and `web.nodes` decides which of
them a page gets. What cannot be shown stays code: what the reader does not know, what defines commands, what
is too long, too deep or too much.
"""

from __future__ import annotations

import re
from html.entities import html5
from xml.parsers import expat

from math_core import LatexError, LatexToMathML

from dragoman.events import EdgeFailed, emit
from dragoman.web.nodes import Element, Node, counted

FORMULA_CHARS = 2_000
"""LIMIT: code points of a formula that is shown as one; a longer one is code."""
FORMULA_DEPTH = 24
"""LIMIT: elements of a formula that stand in each other; one that is deeper is code."""
FORMULA_NODES = 10_000
"""LIMIT: elements and texts of an answer's formulas; those that come after are code."""
FORMULA_TRIES = 2_000
"""LIMIT: formulas of an answer that are read at all."""
MATHML_CHARS = 131_072
"""LIMIT: characters of MathML that one formula becomes."""
NESTED = 32
"""LIMIT: groups open at once, options, and commands in a row: the reader recurses on a native stack."""
UNCLOSED = 10
"""LIMIT: brackets of a formula that may stay open: for each that does, the reader takes twice as long."""
PAIRS = 4
"""LIMIT: brackets in each other of which it is known that they close."""
EXPANSIONS = 100
"""LIMIT: commands of a formula that math-core makes of others."""
WIDE_CHARS = 40
"""Code points of a formula from which on it may be wider than a phone and scrolls in a box of its own."""

_TOKEN = re.compile(r"\\([A-Za-z]+)\s*(\[?)|\\.|[{}]|\s+|[^\\{}\s]", re.DOTALL)
_STEPS = {"{": 1, "left": 1, "begin": 1, "}": -1, "right": -1, "end": -1}
_OPENED = re.compile(
    r"[(\[⌈⌊⌜⌞⎰❲⟅⟦⟨⟪⟬⟮⦃⦅⦇⦉⦋⦍⦏⦑⦓⦕⦗⧘⧚⧼]|\\\{|"
    r"\\(?:lAngle|lBrace|lVert|lang|langle|lbrace|lbrack|lceil|lfloor|lgroup|llangle|llbracket|llcorner|"
    r"llparenthesis|lmoustache|lparen|lvert|ulcorner)(?![A-Za-z])"
)
"""Opening brackets to math-core: of its commands, and of all characters, those that made it slow."""
_SYMBOL = (
    "alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|"
    "upsilon|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|infty|partial|ell|cdot|cdots|"
    "ldots|dots|times|pm|leq|geq|le|ge|neq|in|to"
)
_CLOSED = re.compile(
    r"[(\[](?:[^\W_]|[\s+\-*/=<>.,:;|]|[\^_](?:[^\W_]|\{(?:[^\W_]|[\s+\-*/=,])*\})"
    rf"|\\(?:{_SYMBOL})(?![A-Za-z]))*[)\]]"
)
"""A bracket that surely closes: nothing within takes what closes it for its argument."""
_DEFINES = re.compile(
    r"\\(?:[A-Za-z]*def|let|[A-Za-z]*newcommand|providecommand|DeclareMath[A-Za-z]*)(?![A-Za-z])"
)
_NO_TEXT = re.compile("[\ud800-\udfff]")
_ENTITY = re.compile(r"&([A-Za-z]+;)")
_XML = {"amp;", "lt;", "gt;", "quot;", "apos;"}
_CELL = {
    "text-align: left": "left",
    "text-align: right": "right",
    "border-top": "top",
    "border-right": "after",
    "border-bottom": "bottom",
    "border-left": "before",
}
"""Where math-core says by style how a cell looks, the page says it by class: its policy knows no style."""
_READER = LatexToMathML(fancy_error=False, max_expansions=EXPANSIONS)


class Formulas:
    """Shows the formulas of one answer, as many as its bounds hold."""

    def __init__(self) -> None:
        self._tries, self._nodes = FORMULA_TRIES, FORMULA_NODES

    def shown(self, written: str, source: str, *, block: bool) -> Element:
        """A formula (`source`, without the marks around it), or what was `written` as code."""
        made = self._made(source, block=block)
        if made is None:
            return Element("code", {}, [written])
        if block:
            return Element("span", {"class": "formula", **_reached(source)}, [made])
        return Element("span", {"class": "wide", "tabindex": "0"}, [made]) if _reached(source) else made

    def _made(self, source: str, *, block: bool) -> Element | None:
        if self._tries <= 0 or self._nodes <= 0 or not readable(source):
            return None
        self._tries -= 1
        try:
            text = _READER.convert_with_local_state(source, displaystyle=block)
        except LatexError:
            return None
        except BaseException as fault:
            if type(fault).__name__ != "PanicException":  # its class has no place to be imported from
                raise
            emit(EdgeFailed("formula", "PanicException", "math_core"))
            return None
        found = _elements(text)
        cost = 0 if found is None else counted([found])
        if found is None or cost > self._nodes:
            return None
        self._nodes -= cost
        said = source.strip()
        attrs = {**({"display": "block"} if block else {}), "alttext": said}
        note = Element("annotation", {"encoding": "application/x-tex"}, [said])
        row = Element("mrow", {}, found.children)
        return Element("math", attrs, [Element("semantics", {}, [row, note])])


def readable(source: str) -> bool:
    """Whether a formula is short and flat enough to be read, defines nothing and is not empty."""
    if not source.strip() or len(source) > FORMULA_CHARS:
        return False
    if _DEFINES.search(source) or _NO_TEXT.search(source):
        return False
    left = source
    for _ in range(PAIRS):
        left = _CLOSED.sub("x", left)
    if len(_OPENED.findall(left)) > UNCLOSED:
        return False
    depth = options = row = 0
    for token in _TOKEN.finditer(source):
        word = token[1] or token[0]
        depth += _STEPS.get(word, 0)
        options += bool(token[2])
        row = row + 1 if token[0].startswith("\\") else row if token[0].isspace() else 0
        if depth < 0 or max(depth, options, row) > NESTED:
            return False
    return True


def _reached(source: str) -> dict[str, str]:
    """What may be wider than its place is reached by keyboard, to be scrolled."""
    return {"tabindex": "0"} if len(source) > WIDE_CHARS else {}


def _elements(text: str) -> Element | None:
    """The tree of a MathML text; None where it is none, or not within bounds."""
    if len(text) > MATHML_CHARS:
        return None
    top = Element("")
    open_elements = [top]

    def opened(name: str, attrs: dict[str, str]) -> None:
        element = Element(name, _attributes(attrs))
        open_elements[-1].children.append(element)
        open_elements.append(element)
        if len(open_elements) > FORMULA_DEPTH:
            raise _TooDeepError

    def closed(_name: str) -> None:
        open_elements.pop()

    def said(data: str) -> None:
        open_elements[-1].children.append(data)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.CharacterDataHandler = said
    try:
        parser.Parse(_ENTITY.sub(_character, text), True)
    except (expat.ExpatError, _TooDeepError):
        return None
    only: Node = top.children[0]
    return only if isinstance(only, Element) else None


def _character(entity: re.Match[str]) -> str:
    return entity[0] if entity[1] in _XML else html5.get(entity[1], entity[0])


def _attributes(attrs: dict[str, str]) -> dict[str, str]:
    style = attrs.pop("style", "")
    classes = [name for rule, name in _CELL.items() if rule in style]
    attrs.pop("class", None)
    return {**attrs, **({"class": " ".join(classes)} if classes else {})}


class _TooDeepError(Exception):
    """A formula whose elements stand in each other too deep."""
