"""The bar of stage `public`: the place that a turn would take, why, and what corrects it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dragoman.control.planner import place_of
from dragoman.core.facts import ADDRESS_KINDS
from dragoman.decide.places import UNPROVEN_KINDS
from dragoman.knowledge.engine import Knowledge
from dragoman.web.context import PagesContext
from dragoman.web.pages import pages
from dragoman.web.placement import PROVEN_KINDS, Placed, placement
from dragoman.web.texts import TEXTS
from dragoman.web.turn import TurnClient

CONTACT = "help@operator.example <b>"


def shown(
    folder: Path, address: dict[str, object] | None, language: str = "en", *, local: bool = False
) -> str:
    """The page that a guest with this address gets."""

    def placed(facts: dict[str, object]) -> Placed:
        return Placed(*place_of(facts, "SG"), CONTACT)

    context = PagesContext(
        Knowledge(folder / "knowledge"), TurnClient(folder / "turn.sock"), lambda _: None, str, lambda _: None
    )
    app = Starlette(routes=pages(context if local else replace(context, placed=placed)))
    headers = {} if address is None else {"dragoman-address": json.dumps(address)}
    with TestClient(app, headers=headers) as client:
        return client.get(f"/?lang={language}").text


@pytest.mark.parametrize(
    ("address", "language", "place"),
    [
        ({"country": "DE", "kind": "residential", "peer": "remote"}, "en", "Germany (DE)"),
        ({"country": "DE", "kind": "vpn", "peer": "remote"}, "zh", "德国 (DE)"),
        ({"country": "XX", "kind": "mobile", "peer": "remote"}, "en", "XX"),
        ({"country": None, "kind": "tor", "peer": "remote"}, "en", TEXTS["en"]["placed_nowhere"]),
        ({"country": None, "kind": "unknown", "peer": "loopback"}, "en", "Singapore (SG)"),
        (None, "zh", TEXTS["zh"]["placed_nowhere"]),
    ],
)
def test_the_place_of_a_turn_is_shown_with_its_reason(
    tmp_path: Path, address: dict[str, object] | None, language: str, place: str
) -> None:
    page, t = shown(tmp_path, address, language), TEXTS[language]
    assert f"{t['placed']}{t['gap']}<strong>{place}</strong>" in page
    known = place != t["placed_nowhere"]
    assert (t["placed_from"] in page, t["placed_none"] in page) == (known, not known)
    kind = str((address or {"kind": "unknown"})["kind"])
    kind = "residential" if "Singapore" in place else kind
    assert f"{t['placed_kind']}{t['gap']}{t['address_' + kind]}{'.' if language == 'en' else '。'}" in page
    assert (t["placed_unproven"] in page) == (kind in UNPROVEN_KINDS)
    assert t["placed_wrong"] in page
    assert "help@operator.example &lt;b&gt;" in page
    assert t["asking_why"] not in page


def test_where_one_may_choose_there_is_no_such_bar(tmp_path: Path) -> None:
    address = {"country": "DE", "kind": "residential", "peer": "remote"}
    assert TEXTS["en"]["placed"] not in shown(tmp_path, address, local=True)


def test_every_kind_of_address_has_its_words() -> None:
    assert set(ADDRESS_KINDS) - UNPROVEN_KINDS == PROVEN_KINDS
    for language, texts in TEXTS.items():
        for kind in ADDRESS_KINDS:
            assert texts[f"address_{kind}"]
            assert placement(Placed("FR", kind), language).place
