"""What an answer may become on a page: a tree of few names, made safe last and written as HTML or JSON.

Pure. Whoever builds a tree is not trusted: `sanitised` stands between it and a page, be that the server's own
or what the script builds of the server's JSON. Trees of the script's own reader are bounded where they are
built (`static/render.js`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from markupsafe import Markup

from dragoman.visible import visible

DEPTH = 48
"""LIMIT: elements that stand in each other; what is deeper stands beside its parent."""
NODES = 20_000
"""LIMIT: elements and texts of an answer; one of more is shown as plain text."""

OWN_LINK = re.compile(r"/sources/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+(#[a-z0-9]+)?")
WEB_LINK = re.compile(r"https?://([A-Za-z0-9.-]{1,253})(:[0-9]{1,5})?([/?#][!-~]*)?")
"""An address on the web after encoding: no user name, no bracket, nothing that is read in two ways."""

REL = "noopener noreferrer nofollow"
VOID = frozenset({"br", "hr"})
_FORMULA_PARTS = frozenset({"displaystyle", "scriptlevel"})
_ATTRS: dict[str, frozenset[str]] = {
    "a": frozenset({"class", "href", "rel", "title"}),
    "div": frozenset({"class", "tabindex"}),
    "math": frozenset({"alttext", "display"}),
    "ol": frozenset({"start"}),
    "p": frozenset({"class"}),
    "pre": frozenset({"tabindex"}),
    "span": frozenset({"class", "tabindex"}),
    **dict.fromkeys(
        ("blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "li", "s", "strong"), frozenset()
    ),
    **dict.fromkeys(("table", "tbody", "td", "th", "thead", "tr", "ul"), frozenset()),
}
"""Every element that a page may get from an answer, with its attributes."""
_MATHS: dict[str, frozenset[str]] = {
    "annotation": frozenset({"encoding"}),
    "menclose": frozenset({"notation"}),
    "mfrac": frozenset({"linethickness"}) | _FORMULA_PARTS,
    "mi": frozenset({"mathvariant"}),
    "mo": frozenset(
        {"form", "lspace", "maxsize", "minsize", "movablelimits", "rspace", "stretchy", "symmetric"}
    ),
    "mover": frozenset({"accent"}),
    "mpadded": frozenset({"height", "width"}),
    "mrow": _FORMULA_PARTS,
    "mspace": frozenset({"width"}),
    "mtable": _FORMULA_PARTS,
    "mtd": frozenset({"class"}),
    "munder": frozenset({"accentunder"}),
    "munderover": frozenset({"accent", "accentunder"}),
    **dict.fromkeys(("mmultiscripts", "mn", "mphantom", "mprescripts", "mroot", "msqrt"), frozenset()),
    **dict.fromkeys(("msub", "msubsup", "msup", "mtext", "mtr", "semantics"), frozenset()),
}
"""Every element that may stand in `math`, and nowhere else, with its attributes. None refers to anything."""
_MATHS_TEXTS = frozenset({"annotation", "mi", "mn", "mo", "mtext"})
"""Of them, those that hold texts alone: a page would read HTML in some of these, and not in others."""
_TRUTH = re.compile("true|false")
_LENGTH = re.compile(r"[0-9](\.[0-9]{1,9})?(em)?")
_VALUES = {
    "accent": _TRUTH,
    "accentunder": _TRUTH,
    "alttext": re.compile(r".{0,2000}", re.DOTALL),
    "class": re.compile(
        "cite|code|formula|language|table|to|wide|"
        "(left|right|top|after|bottom|before)( (top|after|bottom|before))*"
    ),
    "display": re.compile("block"),
    "displaystyle": _TRUTH,
    "encoding": re.compile("application/x-tex"),
    "form": re.compile("prefix|infix|postfix"),
    "height": _LENGTH,
    "linethickness": re.compile("0"),
    "lspace": _LENGTH,
    "mathvariant": re.compile("normal"),
    "maxsize": _LENGTH,
    "minsize": _LENGTH,
    "movablelimits": _TRUTH,
    "notation": re.compile("box|(up|down)diagonalstrike|updiagonalstrike downdiagonalstrike"),
    "rel": re.compile(REL),
    "rspace": _LENGTH,
    "scriptlevel": re.compile("[0-3]"),
    "start": re.compile("[0-9]{1,9}"),
    "stretchy": _TRUTH,
    "symmetric": _TRUTH,
    "tabindex": re.compile("0"),
    "title": re.compile(r".{0,1000}", re.DOTALL),
    "width": _LENGTH,
}
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(slots=True)
class Element:
    """An element by name; its attributes are strings."""

    name: str
    attrs: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)


Node = Element | str


def sanitised(nodes: Iterable[Node]) -> list[Node]:
    """The same without names, attributes and addresses that are not allowed where they are; no text goes."""
    return _sanitised(nodes, 0, _ATTRS)


def _sanitised(nodes: Iterable[Node], depth: int, names: Mapping[str, frozenset[str]]) -> list[Node]:
    safe: list[Node] = []
    for node in nodes:
        if isinstance(node, str):
            safe.append(_shown(node))
            continue
        attrs = _attributes(node, names.get(node.name, frozenset()))
        if depth >= DEPTH:
            safe += _texts(node)
        elif node.name not in names or attrs is None:
            safe += _sanitised(node.children, depth + 1, names)
        else:
            within = _within(node.name, names)
            children = [] if node.name in VOID else _sanitised(node.children, depth + 1, within)
            safe.append(Element(node.name, attrs, children))
    return safe


def _within(name: str, names: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """What may stand in an element: a page reads other names in a formula than outside of it."""
    if name == "math":
        return _MATHS
    return {} if name in _MATHS_TEXTS else names


def _attributes(node: Element, allowed: frozenset[str]) -> dict[str, str] | None:
    """The attributes that are allowed; None where a link leads to where none may."""
    attrs = {
        name: _shown(value)
        for name, value in node.attrs.items()
        if name in allowed and name in _VALUES and _VALUES[name].fullmatch(value)
    }
    if node.name != "a":
        return attrs
    address = node.attrs.get("href", "")
    if OWN_LINK.fullmatch(address):
        return dict(sorted({**attrs, "href": address}.items()))
    if WEB_LINK.fullmatch(address):
        return dict(sorted({**attrs, "href": address, "rel": REL}.items()))
    return None


def _shown(text: str) -> str:
    return visible(_NO_TEXT.sub("\ufffd", text))


def _texts(node: Element) -> list[Node]:
    """The texts in an element too deep to be one, found without recursion."""
    found: list[Node] = []
    left: list[Node] = [node]
    while left:
        one = left.pop()
        if isinstance(one, str):
            found.append(_shown(one))
        else:
            left.extend(reversed(one.children))
    return found


def counted(nodes: Iterable[Node]) -> int:
    """Elements and texts of a tree, however deep."""
    count, left = 0, list(nodes)
    while left:
        one = left.pop()
        count += 1
        if isinstance(one, Element):
            left.extend(one.children)
    return count


def to_html(nodes: Iterable[Node]) -> Markup:
    """A sanitised tree as HTML; every text and value is escaped, and names are those of _ATTRS."""
    return Markup("".join(_html(nodes)))  # noqa: S704 -- made of escaped pieces alone


def _html(nodes: Iterable[Node]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield html.escape(node)
            continue
        attrs = "".join(f' {name}="{html.escape(value)}"' for name, value in node.attrs.items())
        # A line break at the start of `pre` would be swallowed by the reader.
        yield f"<{node.name}{attrs}>" + ("\n" if node.name == "pre" else "")
        if node.name not in VOID:
            yield from _html(node.children)
            yield f"</{node.name}>"


def to_json(nodes: Iterable[Node]) -> list[object]:
    """A sanitised tree as JSON: a text, or `[name, attributes, children]`."""
    return [
        node if isinstance(node, str) else [node.name, node.attrs, to_json(node.children)] for node in nodes
    ]
