"""An answer's plain text as parts for a page: label, paragraphs, quoted passages, linked `[n]` markers.

Pure. It makes no HTML: templates and their escaping do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_LABEL = re.compile(r"\A(?:【[^】\n]{1,120}】|\[(?!\d+\])[^\]\n]{1,120}\] )")
_MARKER = re.compile(r"\[(\d{1,3})\]")
_OWN_LINK = re.compile(r"/sources/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+(#[a-z0-9]+)?")
_INTERVENTION = re.compile(r"int_[A-Za-z0-9_-]{1,120}")


@dataclass(frozen=True, slots=True)
class Part:
    """A run of an answer: plain text, or a marker with the page it leads to."""

    text: str
    url: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or a quoted passage."""

    kind: Literal["paragraph", "quote"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a rule or a vendor's filter did to the answer, in one place or more, and where the reasons are."""

    origin: str
    action: str
    rule: str | None
    ids: tuple[str, ...]

    @property
    def urls(self) -> tuple[str, ...]:
        """The statements of reasons, one for each place."""
        return tuple(f"/v1/interventions/{name}" for name in self.ids)


def label_and_rest(text: str) -> tuple[str | None, str]:
    """The visible label that the relay put first, without its brackets, and the text after it."""
    match = _LABEL.match(text)
    if match is None:
        return None, text
    return match.group().strip().strip("【】[]"), text[match.end() :]


def blocks(text: str, annotations: Sequence[dict[str, Any]]) -> list[Block]:
    """Paragraphs and quotes of `text` (without the label); the nth marker takes the nth citation.

    Where markers and citations differ in number (a rule took some out), no marker is linked.
    """
    links = [_link(note) for note in annotations]
    linked = len(links) == len(_MARKER.findall(text))
    following = iter(links if linked else ())
    found = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        for kind, lines in _runs(paragraph.split("\n")):
            parts = tuple(_parts("\n".join(lines), following))
            if parts:
                found.append(Block(kind, parts))
    return found


def interventions(metadata: object) -> list[Intervention]:
    """The interventions in the answer's `dragoman` object, equal ones together, malformed ones left out."""
    rows = metadata.get("interventions") if isinstance(metadata, dict) else None
    found: dict[tuple[str, str, str | None], list[str]] = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and _INTERVENTION.fullmatch(str(row.get("id"))):
            rule = row.get("rule")
            kind = (str(row.get("origin")), str(row.get("action")), str(rule) if rule else None)
            found.setdefault(kind, []).append(row["id"])
    return [Intervention(*kind, tuple(ids)) for kind, ids in found.items()]


def _runs(lines: list[str]) -> Iterator[tuple[Literal["paragraph", "quote"], list[str]]]:
    run: list[str] = []
    quoted = False
    for line in lines:
        if run and line.startswith("> ") != quoted:
            yield ("quote" if quoted else "paragraph"), run
            run = []
        quoted = line.startswith("> ")
        run.append(line.removeprefix("> "))
    if run:
        yield ("quote" if quoted else "paragraph"), run


def _parts(text: str, links: Iterator[tuple[str, str] | None]) -> Iterator[Part]:
    at = 0
    for match in _MARKER.finditer(text):
        link = next(links, None)
        if link is None:
            continue
        if match.start() > at:
            yield Part(_bound(text[at : match.start()]))
        yield Part(match.group(), *link)
        at = match.end()
    if at < len(text):
        yield Part(text[at:])


def _bound(text: str) -> str:
    """A space before a marker keeps the marker on the line of its sentence."""
    return text[:-1] + "\u00a0" if text.endswith(" ") else text


def _link(note: object) -> tuple[str, str] | None:
    """The page of a citation if it is one of our own; anything else is never linked."""
    cited = note.get("url_citation") if isinstance(note, dict) else None
    if not isinstance(cited, dict):
        return None
    url, title = cited.get("url"), cited.get("title")
    if not isinstance(url, str) or not _OWN_LINK.fullmatch(url):
        return None
    return url, title if isinstance(title, str) else ""
