"""A cached plan says what a fresh one would: for random people, addresses, operators, packs and instants.

The negative control leaves one fact out of the question and must be caught by the same check.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.canonical import digest
from dragoman.control.loaded import Holder, Loaded, read_all
from dragoman.control.planner import Planner
from dragoman.decide.packs import PackSet

CLASSES = {
    f"c_{number:032x}": facts
    for number, facts in enumerate(
        [
            {"end_users": "none", "account": "established"},
            {"end_users": "none", "account": "new", "guest": True},
            {"end_users": "declared", "account": "established"},
            *(
                {
                    "end_users": "declared",
                    "account": "established",
                    "residence": place,
                    "age": age,
                    "age_source": "declared",
                }
                for place in ("CN", "DE", "SG", "US", "KP", "JP")
                for age in (12, 15, 17, 30)
            ),
            *(
                {"end_users": "placed", "account": "established", "residence": place}
                for place in ("CN", "DE", "SG", "US", "KP")
            ),
        ]
    )
}

DAY_MS = 86_400_000
FIRST, LAST = (int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp() * 1000) for year in (2025, 2029))

questions = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from(["ten_local_a", "ten_local_b"]),
        "app": st.none(),
        "end_users": st.just("none"),
        "class": st.sampled_from(sorted(CLASSES)),
        "scopes": st.just(["turns", "models"]),
        "route": st.sampled_from(["/v1/chat/completions", "/v1/completions"]),
        "model": st.sampled_from(["dragoman", "far", "near", "chain"]),
        "channel": st.sampled_from(["api", "web"]),
        "address": st.fixed_dictionaries(
            {
                "country": st.sampled_from([None, "CN", "DE", "SG", "US", "KP"]),
                "kind": st.sampled_from(["residential", "vpn", "unknown", "mobile"]),
                "peer": st.sampled_from(["loopback", "remote"]),
            }
        ),
    }
)

CONFIG = """
[deployment]
seat = "{seat}"
markets = [{markets}]
roles = ["provider", "deployer"]
feature = "{feature}"
[zone]
country = "{country}"
[providers.far]
base_url = "https://api.openai.com/v1"
[providers.near]
base_url = "https://models.example/v1"
[models.far]
provider = "far"
model = "far-1"
[models.near]
provider = "near"
model = "near-1"
[models.chain]
provider = "far"
model = "far-1"
fallbacks = ["near", "dragoman"]
"""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[Loaded]:
    folder = tmp_path_factory.mktemp("worlds")
    made = []
    for index, (seat, markets, feature, country) in enumerate(
        [
            ("SG", "", "assistant", "SG"),
            ("CN", '"CN"', "companion", "CN"),
            ("US", '"US", "DE"', "customer_service", "DE"),
        ]
    ):
        file = folder / f"{index}.toml"
        file.write_text(CONFIG.format(seat=seat, markets=markets, feature=feature, country=country))
        made.append(read_all(file, lambda _: None))
    return made


def planner_for(loaded: Loaded, packs: PackSet) -> Planner:
    fields = {name: getattr(loaded, name) for name in Loaded.__dataclass_fields__}
    return Planner(Holder(Loaded(**{**fields, "packs": packs})), CLASSES.get)


def substance(plan: dict[str, Any]) -> dict[str, Any]:
    """What a plan says, without the ids and instants of its making."""
    left_out = {"plan", "holds_until", "question", "tags"}
    kept = {name: value for name, value in plan.items() if name not in left_out}
    kept["decision"] = {name: value for name, value in plan["decision"].items() if name != "as_of"}
    kept["decision_entry"] = {n: v for n, v in plan["decision_entry"].items() if n not in {"at", "as_of"}}
    return kept


def without_some_packs(packs: PackSet, keep: int) -> PackSet:
    """A pack set with some jurisdictions left out; provider packs stay, models point at them."""
    chosen = [
        p for i, p in enumerate(packs.packs.values()) if p.kind != "jurisdiction" or keep >> (i % 8) & 1
    ]
    ids = {p.id for p in chosen}
    return PackSet.of(p for p in chosen if p.parent is None or p.parent in ids)


def differing(
    planner: Planner, asked: list[tuple[dict[str, Any], int]], key_of: Callable[[dict[str, Any]], str]
) -> list[tuple[dict[str, Any], int]]:
    """Serve questions from a cache keyed by `key_of`, and return those a fresh plan answers otherwise."""
    cache: dict[str, dict[str, Any]] = {}
    wrong = []
    for question, now in sorted(asked, key=lambda pair: pair[1]):
        fresh = planner.plan(question, now)
        held = cache.get(key_of(question))
        if held is not None and held["reusable"] and now < held["holds_until"]:
            if substance(held) != substance(fresh):
                wrong.append((question, now))
        else:
            cache[key_of(question)] = fresh
    return wrong


asked_in_a_while = st.tuples(
    st.integers(FIRST, LAST), st.lists(st.tuples(questions, st.integers(0, 90_000)), min_size=2, max_size=12)
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 2), keep=st.integers(0, 255), asked=asked_in_a_while, edge=st.booleans())
def test_cached_equals_fresh(worlds: list[Loaded], which: int, keep: int, asked: Any, edge: bool) -> None:
    loaded = worlds[which]
    start = (
        asked[0] - asked[0] % DAY_MS - 45_000 if edge else asked[0]
    )  # across midnight UTC, where dated rules flip
    planner = planner_for(loaded, without_some_packs(loaded.packs, keep))
    stream = [(question, start + later) for question, later in asked[1]]
    stream += [(question, at + 1_000) for question, at in stream]
    assert differing(planner, stream, digest) == []


def test_a_question_without_one_fact_is_caught(worlds: list[Loaded]) -> None:
    def forgetful(left_out: str) -> Callable[[dict[str, Any]], str]:
        return lambda question: digest({n: v for n, v in question.items() if n != left_out})

    planner = planner_for(worlds[2], worlds[2].packs)
    base = {
        "tenant": "ten_local_a", "app": None, "end_users": "none", "class": max(CLASSES), "scopes": ["turns"],
        "route": "/v1/chat/completions", "model": "far", "channel": "api",
        "address": {"country": "US", "kind": "residential", "peer": "remote"},
    }  # fmt: skip
    others = {
        "address": {**base, "address": {"country": "KP", "kind": "residential", "peer": "remote"}},
        "class": {**base, "class": min(CLASSES)},
        "model": {**base, "model": "near"},
        "tenant": {**base, "tenant": "ten_local_b"},
    }
    now = FIRST + 700 * DAY_MS
    for left_out, other in others.items():
        stream = [(base, now), (other, now + 1)]
        assert differing(planner, stream, forgetful(left_out)), f"leaving out {left_out} went unnoticed"
        assert differing(planner, stream, digest) == []


def test_holds_until_ends_at_a_dated_flip(worlds: list[Loaded]) -> None:
    """A plan that outlives a flip would fail the property; dropping holds_until is the second negative control."""
    flips = 0
    for loaded in worlds:
        planner = planner_for(loaded, loaded.packs)
        for klass in sorted(CLASSES):
            question = {
                "tenant": "ten_local_a", "app": None, "end_users": "none", "class": klass, "scopes": ["turns"],
                "route": "/v1/chat/completions", "model": "far", "channel": "web",
                "address": {"country": "CN", "kind": "residential", "peer": "remote"},
            }  # fmt: skip
            decision = planner.outcome(question, FIRST).decision
            if decision.holds_until is None:
                continue
            before = planner.plan(question, decision.holds_until - 1)
            after = planner.plan(question, decision.holds_until)
            assert before["holds_until"] == decision.holds_until
            flips += substance(before) != substance(after)
    assert flips > 0
