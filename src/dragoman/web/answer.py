"""An answer as parts for a page: label, what was said with its `[n]` markers linked, interventions.

Pure. What was said becomes nodes (`web.markdown`), and those become HTML or JSON in one place (`web.nodes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from dragoman.core.outcomes import HAPPENED
from dragoman.web.markdown import nodes
from dragoman.web.nodes import OWN_LINK, Node, to_html
from dragoman.web.texts import LANGUAGES

_LABEL = re.compile(r"\A(?:【[^】\n]{1,120}】|\[(?!\d+\])[^\]\n]{1,120}\] )")
_INTERVENTION = re.compile(r"int_[A-Za-z0-9_-]{1,120}")
_DECISION = re.compile(r"dec_[A-Za-z0-9_-]{1,120}")


Source = tuple[str, str, str | None]
"""A source's name, and its page where it has one."""
Rule = tuple[str | None, str, str | None, Source | None]
"""A rule that acted: its title, its id, what it says, its source."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a rule, a vendor's filter or a change did, in one place or more, why, and where one appeals.

    `what`: the key of the sentence that says what was done. `message`: the rule's own words by language.
    """

    what: str
    rule: str | None
    message: Mapping[str, str] | None
    source: Source | None
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision that refused the turn: titles by language of the rules that did, with their sources.

    `lifts`: what would change it, by language. `step_up`: what the person can supply, by name.
    """

    decision: str
    outcome: str
    rules: tuple[tuple[Mapping[str, str], str, Source | None], ...]
    lifts: tuple[Mapping[str, str], ...]
    step_up: tuple[str, ...]


def label_and_rest(text: str) -> tuple[str | None, str]:
    """The visible label that the relay put first, without its brackets, and the text after it."""
    match = _LABEL.match(text)
    if match is None:
        return None, text
    return match.group().strip().strip("【】[]"), text[match.end() :]


def body(text: str, annotations: Sequence[object], *, plain: bool = False) -> list[Node]:
    """What was said (without the label) as nodes of a page; the nth marker takes the nth citation."""
    return nodes(text, [_link(note) for note in annotations], plain=plain)


def html(text: str, annotations: Sequence[object], *, plain: bool = False) -> Markup:
    """The same as HTML."""
    return to_html(body(text, annotations, plain=plain))


def interventions(metadata: object) -> list[Intervention]:
    """The interventions in the answer's `dragoman` object, equal ones together, malformed ones left out."""
    rows = metadata.get("interventions") if isinstance(metadata, dict) else None
    found: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and _INTERVENTION.fullmatch(str(row.get("id"))):
            rule = row.get("rule")
            found.setdefault((_what(row), str(rule) if rule else None), []).append(row)
    return [
        Intervention(
            what,
            rule,
            _both(rows[0].get("message")),
            source_of(rows[0].get("source"), "title"),
            tuple(row["id"] for row in rows),
        )
        for (what, rule), rows in found.items()
    ]


def refusal(metadata: object) -> Refusal | None:
    """What refused the turn, in the answer's `dragoman` object; None where no decision did."""
    if not isinstance(metadata, dict) or not _DECISION.fullmatch(str(metadata.get("decision"))):
        return None
    rows = [one for one in metadata.get("reasons") or () if isinstance(one, dict)]
    rules = tuple(
        (title, str(one.get("rule_id")), source_of(one.get("citation"), "source"))
        for one in rows
        if (title := _both(one.get("title"))) is not None
    )
    if not rules:
        return None
    lifts = tuple(found for one in metadata.get("lifts") or () if (found := _both(one)) is not None)
    step_up = tuple(one for one in metadata.get("step_up") or () if isinstance(one, str))
    outcome = str(metadata.get("outcome"))
    return Refusal(
        str(metadata["decision"]), outcome if outcome in HAPPENED else "DENY", rules, lifts, step_up
    )


def rules_of(reasons: Iterable[Mapping[str, Any]], language: str) -> tuple[Rule, ...]:
    """The rules of a decision, by its reasons."""
    return tuple(
        (
            _in(one["title"], language),
            one["rule_id"],
            _in(one["text"], language),
            source_of(one["citation"], "source"),
        )
        for one in reasons
    )


def source_of(cited: object, name: str) -> Source | None:
    """A source by name and article, with its address where that is a page of the web."""
    if not isinstance(cited, dict) or not cited.get(name):
        return None
    url = str(cited.get("url") or "")
    article = str(cited.get("article") or "")
    return str(cited[name]), article, url if url.startswith(("https://", "http://")) else None


def _in(text: Mapping[str, str], language: str) -> str:
    return text.get(language) or text["en"]


def _what(row: Mapping[str, Any]) -> str:
    """The key of the sentence that says what was done, and whether to the question or to the answer."""
    if row.get("origin") in {"vendor", "change"}:
        return "vendor" if row["origin"] == "vendor" else "ended"
    done = "changed" if row.get("action", "redact") == "redact" else "refused"
    lane = row.get("lane")
    return done if lane is None or str(lane).startswith("/choices") else f"{done}_asked"


def _both(text: object) -> Mapping[str, str] | None:
    whole = isinstance(text, dict) and all(isinstance(text.get(one), str) for one in LANGUAGES)
    return dict(text) if whole and isinstance(text, dict) else None


def _link(note: object) -> tuple[str, str] | None:
    """The page of a citation if it is one of our own; anything else is never linked."""
    cited = note.get("url_citation") if isinstance(note, dict) else None
    if not isinstance(cited, dict):
        return None
    url, title = cited.get("url"), cited.get("title")
    if not isinstance(url, str) or not OWN_LINK.fullmatch(url):
        return None
    return url, title if isinstance(title, str) else ""
