"""The page "why this answer", which the drawer shows as well: all of a passport, and its texts are only text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from starlette.requests import Request

from dragoman.core.decision import NOT_CARRIED_OUT, QUIET
from dragoman.decide.weigh import STRENGTH
from dragoman.web.answer import interventions
from dragoman.web.passport_words import passport_words
from dragoman.web.view import View
from dragoman.web.why_texts import OUTCOMES, REFUSING, WORDS

EVIL = '<img src=x onerror="document.title=1">'


def page(decision: dict[str, Any], **more: object) -> str:
    """The page of a refused turn with this decision."""
    passport = {
        "zone": "eu",
        "status": "denied",
        "simulated": False,
        "answered_by": {"provider": None, "model": None},
        "providers": [],
        "ledger": {"state": "pending", "text": {"en": "Not yet."}, "proofs": []},
        **more,
    }
    scope = {
        "type": "http", "method": "GET", "path": "/c/a/why/b", "headers": [], "query_string": b"",
        "scheme": "http", "server": ("localhost", 80), "root_path": "",
    }  # fmt: skip
    told = View("Dragoman", (), secure=False).page(
        Request(scope), "why.html", passport=passport, decision=decision, **passport_words("en"),
        here="/c/a/why/b", page="/c/a", turn="trn_1", changes=interventions(passport),
    )  # fmt: skip
    return bytes(told.body).decode()


def test_a_decision_that_was_not_kept_is_named() -> None:
    found = page({"id": "dec_1", "kept": False})
    assert "<dd>dec_1</dd>" in found
    assert WORDS["en"]["unkept"].replace("'", "&#39;") in found


def test_all_that_would_change_a_refusal_is_said() -> None:
    lists: dict[str, Any] = {part: [] for part in ("rules", "obligations", "warnings", "unknown", "packs")}
    ways = [{"en": "Ask again at a later date.", "zh": "x"}, {"en": "Use another model.", "zh": "y"}]
    found = page({"id": "dec_1", "kept": True, "outcome": "DENY", "facts": {}, "lifts": ways, **lists})
    assert f"{OUTCOMES['en']['DENY']} (DENY)" in found
    for way in ways:
        assert f"<li>{way['en']}</li>" in found


def test_what_a_rule_changed_is_named_with_its_statement() -> None:
    done = {"id": "int_1", "action": "redact", "lane": "/choices/0", "rule": "house.pickup"}
    unkept = {"id": "dec_1", "kept": False}
    found = page(unkept, interventions=[done])
    for part in (
        WORDS["en"]["changes"],
        "<code>house.pickup</code>",
        'href="/appeal/int_1"',
        "changed this answer",
    ):
        assert part in found
    assert WORDS["en"]["changes"] not in page(unkept), "the control: nothing was changed"


def test_the_rule_that_refused_stands_first_and_words_are_spelt_out() -> None:
    lists: dict[str, Any] = {part: [] for part in ("warnings", "unknown", "packs", "lifts")}
    same = {"en": "A duty of law.", "zh": "义务"}
    quiet = {"title": same, "text": same, "effect": "oblige", "certainty": "g", "kind": "right", "code": "A"}
    loud = {**quiet, "title": {"en": "The refusing one", "zh": "拒"}, "effect": "deny", "certainty": "V"}
    duty = {
        "kind": "label.visible",
        "rule_id": "eu.x",
        "enforcement": "in_force",
        "text": {"en": "Label it."},
    }
    made = {"id": "dec_1", "kept": True, "outcome": "DENY", "facts": {}, "rules": [quiet, loud], **lists}
    found = page({**made, "obligations": [duty]})
    assert found.index("The refusing one") < found.index("<strong>A duty of law.")
    assert found.count(REFUSING["en"]["deny"]) == 1, "the quiet rule is the control"
    assert "<p>A duty of law.</p>" in found, "of the refusing rule, whose title is another"
    assert found.count("A duty of law.") == 2, "a text equal to its title is not said again"
    assert found.count("<br>") == 1, "in its place the source begins a line of its own"
    for said in (
        "certainty: general knowledge, not read again",
        "a visible label on generated content",
        "in force",
    ):
        assert said in found
    assert "in_force" not in found


def test_every_effect_that_keeps_from_an_answer_has_words() -> None:
    for language in ("en", "zh"):
        assert set(REFUSING[language]) == {*STRENGTH, NOT_CARRIED_OUT} - QUIET


class Parts(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def runs(self) -> list[str]:
        """What would run, or load."""
        names = [tag for tag, _ in self.elements if tag in {"img", "script"}]
        events = [name for _, attrs in self.elements for name in attrs if name.startswith("on")]
        links = [attrs.get("href") or "" for tag, attrs in self.elements if tag == "a"]
        return names + events + [link for link in links if link.startswith("javascript:")]


def test_texts_of_a_passport_are_never_markup() -> None:
    text = {"en": EVIL}
    source = {"source": EVIL, "article": EVIL, "url": "javascript:document.title=1"}
    rule = {"title": text, "text": text, "kind": EVIL, "code": EVIL, "certainty": "?", "source": source}
    proof = {"kind": EVIL, "index": EVIL, "url": f'/"{EVIL}', "file": f'"{EVIL}', "command": EVIL}
    found = Parts(
        page(
            {
                "id": "dec_x", "kept": True, "outcome": EVIL, "facts": {EVIL: EVIL}, "unknown": [EVIL],
                "packs": [{"id": EVIL, "version": EVIL, "status": EVIL}], "lifts": [text], "rules": [rule],
                "obligations": [{"kind": EVIL, "rule_id": EVIL, "text": text}],
                "warnings": [{"code": EVIL, "subject": EVIL, "text": text}],
            },
            zone=EVIL, answered_by={"provider": EVIL, "model": EVIL},
            providers=[{"provider": EVIL, "eligible": False, "reasons": [rule]}],
            ledger={"state": EVIL, "text": text, "proofs": [proof], "search": EVIL},
        )
    )  # fmt: skip
    assert found.runs() == []
    assert found.text.count(EVIL) >= 25
    spoilt = Parts(f'{EVIL}<a href="javascript:1">')
    assert spoilt.runs() == ["img", "onerror", "javascript:1"], "negative control"
