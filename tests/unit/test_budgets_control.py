"""Control's side of limits: windows, which limits a question meets, grants, and what cannot be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dragoman.budgets.allotments import SKEW_MS, Allotments
from dragoman.budgets.book import Book, NoLimits
from dragoman.budgets.bounds import faults
from dragoman.budgets.buckets import grant, is_shown, parse
from dragoman.budgets.periods import window_at, window_named
from dragoman.control.bounds import bounds_of
from dragoman.control.loaded import Holder, Loaded, read_all
from dragoman.control.planner import Planner
from dragoman.core.budgets import Spend
from dragoman.errors import ConfigError, RefusedError
from dragoman.events import Event, LimitUnkept, listen
from dragoman.settings_limits import Limit, Rate
from dragoman.stores import budgets
from dragoman.stores.budgets import Budgets
from dragoman.stores.database import Database
from dragoman.stores.journal import JournalCursors, Projected
from dragoman.stores.migrate import migrate
from dragoman.stores.schema import OF_A_MINUTE

NOW = 1_795_000_000_000
DAY = window_at("day", NOW)
TENANT = "ten_local_a"
BUCKET = f"day:{DAY.name}:{TENANT}"
DAILY = Limit(id="day", tenant="default", unit="tokens", per="day", most=1_000)
QUESTION = {"tenant": TENANT, "app": None, "model": "dragoman", "route": "/v1/chat/completions"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "zone.db")
    database = Database(tmp_path / "zone.db")
    yield database
    database.close()


class Way(NamedTuple):
    """One way to carry a turn."""

    provider: str
    model: str
    max_output_tokens: int | None


class Unpriced:
    """Nobody states a price."""

    def at(self, *_: object) -> None:
        """None."""


class Zone:
    """Control's ledger of buckets with one limit, and relays that ask it."""

    def __init__(self, database: Database, *limits: Limit) -> None:
        self.limits = list(limits)
        self.store = Budgets(database, "local")
        self.cursors = JournalCursors(database, "local")
        self.allotments = Allotments(Book(lambda: (self.limits, ()), NoLimits()), self.store)

    def ask(self, start: int = 0, log: str = "log_a", now: int = NOW, earlier: Any = (), **ask: Any) -> int:
        """All that is granted after an ask; without one, of nothing."""
        body = {"log": log, "start": start, "earlier": list(earlier), "asks": []}
        if ask:
            body["asks"] = [
                {"bucket": BUCKET, "tenant": TENANT, "granted": 0, "returned": 0, "need": 0, "want": 0, **ask}
            ]
        answer = asyncio.run(self.allotments.take(body, now))
        return answer["buckets"][0]["granted"] if ask else 0

    def spend(self, index: int, amount: int, log: str = "log_a", entries: int = 1) -> None:
        first = self.cursors.next(log)
        spend = Spend(TENANT, BUCKET, "day", DAY.ends, index, amount)
        batch = Projected(entries, (), spends=(spend,) if amount else ())
        assert self.cursors.advance(log, first, batch).result()[0]

    def state(self) -> tuple[int, int]:
        one = self.store.states()[0]
        return one.spent, one.held


@pytest.mark.parametrize("per", ["minute", "hour", "day", "month"])
def test_windows_tile_time_and_are_named_once(per: str) -> None:
    at = NOW
    for _ in range(40):
        window = window_at(per, at)
        assert window.starts <= at < window.ends
        assert window_named(window.name) == window
        assert window_at(per, window.ends).starts == window.ends
        assert window_at(per, window.ends - 1) == window
        at = window.ends


def test_a_month_has_its_own_length() -> None:
    february = window_named("202602")
    assert february.ends - february.starts == 28 * 86_400_000
    for wrong in ("2026", "20261301", "2026112", "202611260", "20261126T2561", "２０２６１１", "20261126 1"):
        with pytest.raises(ValueError, match=r"names no window|does not match|unconverted|out of range"):
            window_named(wrong)


def test_a_bucket_says_whose_it_is() -> None:
    assert parse(BUCKET).thing == TENANT
    assert not parse(BUCKET).is_zone
    assert parse("all:202611:*").is_zone
    assert parse("all:202611:m/a:b").thing == "m/a:b"
    for wrong in ("day", "day:202611", "day::x", ":202611:x", "day:202611:" + "x" * 400):
        with pytest.raises(ValueError):
            parse(wrong)
    assert not is_shown(Limit(id="a", unit="requests", per="day", most=1))
    assert not is_shown(Limit(id="a", unit="requests", per="day", most=1, each="model"))
    assert is_shown(DAILY)
    assert is_shown(Limit(id="a", unit="requests", per="day", most=1, each="end_user"))


def test_a_grant_is_enough_or_nothing_and_shrinks_near_the_limit() -> None:
    assert grant(1000, 0, 10, 400) == 250
    assert grant(1000, 0, 10, 100) == 100
    assert grant(1000, 0, 600, 100) == 600
    assert grant(1000, 960, 10, 400) == 10
    assert grant(1000, 995, 10, 400) == 0
    assert grant(1000, 1200, 10, 400) == 0
    assert grant(1000, 0, 0, 400) == 0


def test_what_is_asked_twice_is_granted_once(database: Database) -> None:
    zone = Zone(database, DAILY)
    assert zone.ask(need=100) == 100
    assert zone.ask(need=100) == 100, "the answer was lost: nothing more before it is known"
    assert zone.ask(need=100, granted=100) == 200
    assert zone.ask(need=100, granted=100) == 200, "an ask that comes late"
    assert zone.state() == (0, 200)
    assert zone.ask(granted=200, returned=150) == 200
    assert zone.ask(granted=200, returned=20) == 200, "a return that comes late takes nothing back"
    assert zone.state() == (0, 50)


def test_two_relays_share_a_limit(database: Database) -> None:
    zone = Zone(database, DAILY)
    assert zone.ask(need=700) == 700
    assert zone.ask(need=400, log="log_b") == 0
    assert zone.ask(need=300, log="log_b") == 300
    zone.spend(0, 700)
    assert zone.state() == (700, 300)
    assert zone.ask(granted=700, need=1) == 700
    assert zone.ask(granted=300, returned=300, log="log_b") == 300
    assert zone.ask(granted=700, need=1) == 701


def test_a_restarted_relay_gives_back_once_its_log_is_read_to_its_start(database: Database) -> None:
    zone = Zone(database, DAILY)
    assert zone.ask(need=800) == 800
    zone.spend(0, 100)
    # The relay dies with one intent open; its next run begins at index 3.
    zone.ask(start=3)
    assert zone.state() == (100, 700), "entries before the start are still to come"
    assert zone.ask(start=3, need=600) == 0
    zone.spend(2, 500, entries=2)
    assert zone.state() == (600, 0)
    assert zone.ask(start=3, need=400) == 400
    zone.spend(3, 400)
    assert zone.state() == (1000, 0)
    with pytest.raises(RefusedError, match="later run"):
        zone.ask(start=0, need=1, granted=800)


def test_a_log_that_another_follows_is_given_back_at_its_end(database: Database) -> None:
    zone = Zone(database, DAILY)
    assert zone.ask(need=1000) == 1000
    zone.ask(log="log_b", start=1, earlier=[{"log": "log_a", "end": 2}])
    assert zone.state() == (0, 1000)
    zone.spend(0, 0, entries=2)
    zone.ask(log="log_b", start=1, earlier=[{"log": "log_a", "end": 2}])
    assert zone.state() == (0, 1000), "what it left open has its result in the log that follows"
    zone.spend(0, 300, log="log_b")
    zone.ask(log="log_b", start=1, earlier=[{"log": "log_a", "end": 2}])
    assert zone.state() == (300, 0)


def test_a_database_that_was_restored_believes_what_the_relay_was_granted(database: Database) -> None:
    zone = Zone(database, DAILY)
    assert zone.ask(need=100, granted=900) == 1000
    assert zone.state() == (0, 1000)


def test_what_is_beyond_the_window_or_the_limit_is_granted_nothing(database: Database) -> None:
    zone = Zone(database, DAILY)
    assert zone.ask(need=1, now=DAY.ends + SKEW_MS) == 0
    assert zone.ask(need=1, now=DAY.starts - SKEW_MS - 1) == 0
    assert zone.ask(need=1, now=DAY.ends + SKEW_MS - 1) == 1
    zone.limits.clear()
    assert zone.ask(need=1, granted=1) == 1
    for wrong in ({"granted": -1}, {"need": True}, {"want": 2**53}, {"bucket": "x"}, {"tenant": ""}):
        with pytest.raises(RefusedError):
            zone.ask(**wrong)


def test_a_provider_beyond_the_reservation_is_counted_as_it_says(database: Database) -> None:
    zone = Zone(database, DAILY)
    assert zone.ask(need=1000) == 1000
    zone.spend(0, 1_500)
    assert zone.state() == (1_500, 0)
    assert zone.ask(need=1, granted=1000) == 1000


def test_old_buckets_are_removed(database: Database) -> None:
    zone = Zone(database, DAILY)
    zone.ask(need=10)
    assert zone.store.forget_over(DAY.ends) == 0
    assert zone.store.forget_over(DAY.ends + 41 * 86_400_000) == 1
    assert zone.store.states() == []


def test_windows_of_a_minute_go_when_they_cannot_matter_any_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "SWEPT_AT_ONCE", 3)
    limits = [
        Limit(id=per, each="end_user", unit="requests", per=per, most=9) for per in ("minute", "hour", "day")
    ]
    zone = Zone(database, *limits)
    # A thing that looks like a window of another length, and people enough for several steps.
    things = ["u/202611:20261126T1200", *(f"u/{n}" for n in range(7))]
    for per in ("minute", "hour", "day"):
        for thing in things:
            assert zone.ask(need=1, bucket=f"{per}:{window_at(per, NOW).name}:{thing}") == 1
    end = window_at("minute", NOW).ends
    assert zone.store.forget_over(end + budgets.MINUTE_KEPT_MS, lambda: True) == 0
    assert zone.store.forget_over(end + budgets.MINUTE_KEPT_MS) == 0
    assert zone.store.forget_over(end + budgets.MINUTE_KEPT_MS + 1) == len(things)
    assert sorted({one.limit for one in zone.store.states()}) == ["day", "hour"]
    assert len(zone.store.states()) == 2 * len(things), "the control"
    plan = "EXPLAIN QUERY PLAN SELECT tenant, bucket FROM buckets WHERE ends < 1 AND " + OF_A_MINUTE.text
    found = database.read(lambda c: c.exec_driver_sql(plan).all())
    assert "ix_buckets_minutes" in str(found), "others are not looked through"


def test_a_question_meets_the_limits_that_concern_it() -> None:
    limits = [
        DAILY,
        Limit(id="other", tenant="shop", unit="requests", per="day", most=1),
        Limit(id="model", model="big", unit="requests", per="day", most=1),
        Limit(id="apps", each="app", unit="requests", per="day", most=1),
        Limit(
            id="one", key="key_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab", unit="requests", per="day", most=1
        ),
        Limit(id="all", unit="requests", per="day", most=1),
    ]
    rates = [
        Rate(id="pace", unit="requests", most=5),
        Rate(id="shop", tenant="shop", unit="requests", most=5),
    ]
    book = Book(lambda: (limits, rates), NoLimits())
    assert [limit.id for limit in book.for_plan(QUESTION, "default")] == ["day", "all"]
    assert [limit.id for limit in book.for_plan({**QUESTION, "app": "x"}, None)] == ["apps", "all"]
    assert [rate["rate"] for rate in book.rates_for_plan(QUESTION, "default")] == ["pace"]
    assert [
        one["limit"] for one in book.of_key("key_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab")["budgets"]
    ] == ["one"]


def test_a_turn_that_its_plan_refuses_counts_as_a_request() -> None:
    rates = [Rate(id=unit, unit=unit, most=5) for unit in ("requests", "tokens", "concurrent")]
    book = Book(lambda: ([DAILY], rates), NoLimits())
    prices = read_all(None, lambda _: None).prices
    refused = bounds_of(book, QUESTION, "default", [], prices, 0, 60_000)
    assert (refused.attempts, refused.budgets) == ([], [])
    assert [rate["rate"] for rate in refused.rates] == ["requests"]


def loaded(tmp_path: Path, text: str) -> Loaded:
    file = tmp_path / "dragoman.toml"
    file.write_text("[providers.main]\nbase_url = 'https://h.example/v1'\n" + text, encoding="utf-8")
    return read_all(file, lambda _: None)


MODEL = "[models.big]\nprovider = 'main'\nmodel = 'big-1'\n"
MONEY = "[[limits]]\nid = 'm'\nunit = 'money'\ncurrency = 'EUR'\nper = 'day'\nmost = 5\n"
PRICE = "[[prices]]\nprovider = 'main'\nmodel = 'big-1'\ncurrency = 'EUR'\ninput = 1\noutput = 2\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MODEL + "[[limits]]\nid = 't'\nunit = 'tokens'\nper = 'day'\nmost = 5\n", "write max_output_tokens"),
        (MODEL + "max_output_tokens = 9\n" + MONEY, "add [[prices]] for it"),
        (MODEL + "max_output_tokens = 9\n" + MONEY + PRICE.replace("EUR", "USD"), "has a price in USD, not EUR"),
        (MODEL + "max_output_tokens = 9\n" + MONEY + PRICE + "valid_until = 2020-01-01\n", "add [[prices]]"),
        (MONEY + "model = 'nobody'\n", "no model is called 'nobody'"),
        (MONEY.replace("currency = 'EUR'\n", ""), "names its currency"),
        ("[[limits]]\nid = 'r'\nunit = 'requests'\nper = 'day'\nmost = 5\n" * 2, "more than one is called r"),
        (PRICE.replace("main", "nobody"), "no provider is called 'nobody'"),
        ("[[rates]]\nid = 'r'\nunit = 'concurrent'\nmost = 5\nburst = 2\n", "have no burst"),
    ],
)  # fmt: skip
def test_a_limit_that_cannot_be_kept_does_not_load(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as fault:
        loaded(tmp_path, text)
    assert said in "\n".join(fault.value.problems)


def test_what_a_limit_lacks_is_said_in_both_languages() -> None:
    way = Way("far", "big-1", None)
    money = Limit(id="m", unit="money", currency="EUR", per="day", most=1)
    for limit, ways in (
        (money, {"big": [way]}),
        (DAILY, {"big": [way]}),
        (money.model_copy(update={"model": "x"}), {}),
    ):
        found = faults([limit, limit], ways, Unpriced(), NOW)
        assert len(found) == (2 if limit is money else 1), "each once"
        for one in found:
            assert one["en"].isascii()
            assert not one["zh"].isascii()
            assert f"limits.{limit.id}" in one["en"]
            assert f"limits.{limit.id}" in one["zh"]


def test_a_plan_carries_bounds_prices_and_limits(tmp_path: Path) -> None:
    made = loaded(tmp_path, MODEL + "max_output_tokens = 9\n" + MONEY + PRICE + "valid_until = 2126-11-27\n")
    question = {**QUESTION, "model": "big", "end_users": "none", "class": "c", "scopes": ["turns"], "channel": "api",
                "address": {"country": None, "kind": "unknown", "peer": "loopback"}}  # fmt: skip
    plan = Planner(Holder(made), lambda _: {"end_users": "none", "account": "established"}).plan(
        question, NOW
    )
    price = {"currency": "EUR", "input": 1, "cached": 1, "output": 2}
    assert [one["max_output_tokens"] for one in plan["attempts"]] == [9]
    assert [one["price"] for one in plan["attempts"]] == [price]
    assert [one["limit"] for one in plan["budgets"]] == ["m"]
    assert "limits" in plan["tags"]


def test_a_plan_whose_limit_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    made = loaded(tmp_path, MODEL)

    class Store:
        def limits(self) -> list[Limit]:
            return [Limit(id="t", unit="tokens", per="day", most=5)]

    holder = Holder(made)
    question = {**QUESTION, "model": "big", "end_users": "none", "class": "c", "scopes": ["turns"], "channel": "api",
                "address": {"country": None, "kind": "unknown", "peer": "loopback"}}  # fmt: skip
    planner = Planner(holder, lambda _: {"end_users": "none"}, book=Book(holder.limits, Store()))
    heard: list[Event] = []
    deafen = listen(heard.append)
    with pytest.raises(RefusedError) as refused:
        planner.plan(question, NOW)
    deafen()
    assert (refused.value.status, refused.value.code) == (503, "limit_unenforceable")
    assert "big-1" not in str(refused.value.text), "what stands behind a model is not the caller's business"
    told = [event for event in heard if isinstance(event, LimitUnkept)]
    assert [(one.limit, one.model) for one in told] == [("t", "big")]
    assert "write max_output_tokens" in told[0].why
    assert planner.plan({**question, "model": "dragoman"}, NOW)["budgets"][0]["limit"] == "t", "the control"
