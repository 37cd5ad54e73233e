"""The controls of the walk: the product broken in one way each, and the steps that have to notice it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import walk_asking
import walk_chat
from walk_steps import Step

LABELS = re.compile(rb"AI-generated|AI \xe7\x94\x9f\xe6\x88\x90|\\u751f\\u6210")
EVERY_SENTENCE = re.compile(rb' id="p\d+(s\d+)?"')


def refused(pattern: str) -> Callable[[Any], None]:
    """Whatever is asked for by this address answers 500."""

    def spoil(context: Any) -> None:
        context.route(re.compile(pattern), lambda route: route.fulfill(status=500, body="broken"))

    return spoil


def rewritten(pattern: str, what: re.Pattern[bytes], by: bytes) -> Callable[[Any], None]:
    """What is answered at this address has other bytes in the place of some."""

    def spoil(context: Any) -> None:
        def change(route: Any) -> None:
            answer = route.fetch()
            route.fulfill(response=answer, body=what.sub(by, answer.body()))

        context.route(re.compile(pattern), change)

    return spoil


def unspoiled(_context: Any) -> None:
    """Nothing is done to what the browser is given."""


def changed_in_the_entry(proof: bytes) -> bytes:
    """A proof with one letter of its entry changed."""
    at = proof.index(b"extra ") + 40
    return proof[:at] + (b"A" if proof[at : at + 1] != b"A" else b"B") + proof[at + 1 :]


def unlabelled(file: bytes) -> bytes:
    return LABELS.sub(b"said", file)


@dataclass(frozen=True)
class Control:
    """One fault, and the steps that must fail for it."""

    name: str
    spoil: Callable[[Any], None]
    steps: tuple[Step, ...]
    spoiled: Callable[[bytes], bytes] = bytes
    """What becomes of a file that is saved."""


def steps_named(*names: str) -> tuple[Step, ...]:
    every = {one.name: one for one in (*walk_chat.STEPS, *walk_asking.ASKING, *walk_asking.OBJECTIONS)}
    return tuple(every[name] for name in names)


CONTROLS = (
    Control("the chat's script answers 500", refused(r"/chat\.[^/]*js"), steps_named("copied", "stopped")),
    Control("the turns answer 500", refused(r"/turns$"), steps_named("streamed_answer", "asked_as_berlin")),
    Control("feedback answers 500", refused(r"/feedback$"), steps_named("judged")),
    Control("the search answers 500", refused(r"/v1/conversations\?.*q="), steps_named("found")),
    Control("no label", rewritten(r"/turns$", LABELS, b"said"), steps_named("labelled")),
    Control("no label in what is exported", unspoiled, steps_named("exported"), unlabelled),
    Control(
        "citations lead to no sentence",
        rewritten(r"/sources/", EVERY_SENTENCE, b""),
        steps_named("citations_open_their_passage"),
    ),
    Control("a changed proof", unspoiled, steps_named("proof_verified"), changed_in_the_entry),
    Control("appeals answer 500", refused(r"/appeal/"), steps_named("why_and_appeal")),
)
