"""Limits over the whole product: a few spenders with kills (`budget_spenders.py` runs thousands), and what callers read."""

from __future__ import annotations

from pathlib import Path

import pytest
from budget_spenders import check_then_act, run_zone
from whole_product import start

from dragoman.testing.provider import FakeProvider, Script, whole

CONFIG = """
[providers.main]
base_url = "{url}"
[models.big]
provider = "main"
model = "big-1"
max_output_tokens = 50
[[limits]]
id = "two-a-day"
each = "key"
model = "big"
unit = "requests"
per = "month"
most = 2
[[limits]]
id = "everybody"
model = "dragoman"
unit = "tokens"
per = "month"
most = 10
[[rates]]
id = "pace"
unit = "requests"
most = 600
burst = 60
"""


@pytest.mark.slow
def test_spenders_never_exceed_a_limit_whatever_is_killed(tmp_path: Path) -> None:
    figures = run_zone(tmp_path, 40, 1, seed=5)
    assert figures["metered"] <= figures["spent"] <= figures["limit"]


def test_a_gateway_that_checks_and_then_acts_overspends() -> None:
    spent, limit = check_then_act(100, 2)
    assert spent > limit, "the negative control"


@pytest.mark.slow
def test_a_caller_reads_which_limit_how_much_and_when(tmp_path: Path) -> None:
    provider = FakeProvider(Script([whole("hello")], content_type="application/json"))
    server = start(tmp_path, CONFIG.format(url=provider.url))
    try:
        key = server.dragoman("keys", "create", "--limit", "tokens/day=100000")["text"]
        body = {"model": "big", "messages": [{"role": "user", "content": "hi"}]}
        with server.http(key) as client:
            answers = [client.post("/v1/chat/completions", json=body) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429], answers[-1].text
            policy = answers[0].headers["ratelimit-policy"]
            assert '"two-a-day";q=2' in policy
            assert '"pace";q=600;w=60' in policy
            assert "everybody" not in policy
            assert answers[0].headers["x-ratelimit-limit-tokens"] == "100000"
            assert int(answers[0].headers["x-ratelimit-remaining-requests"]) <= 1
            assert provider.seen[0]["max_tokens"] == 50, "the model's bound is written into the body"
            error = answers[2].json()["error"]
            assert (error["code"], error["type"]) == ("budget_exhausted", "rate_limit_error")
            assert '"two-a-day" (2 requests per month) has 0 requests left' in error["message"]
            assert int(answers[2].headers["retry-after"]) >= 1
            chinese = client.post("/v1/chat/completions", json=body, headers={"accept-language": "zh"})
            assert "限额“two-a-day”" in chinese.json()["error"]["message"]
            shared = client.post("/v1/chat/completions", json={**body, "model": "dragoman"})
            assert (shared.status_code, "10" in shared.json()["error"]["message"].split("Its window")[0]) == (
                429,
                False,
            )
            used = client.get("/v1/usage?by=day,model").json()
            assert used["object"] == "usage"
            table = client.get("/v1/usage?format=csv")
            assert table.headers["content-type"].startswith("text/csv")
            assert table.text.startswith("day,turns")
        listed = server.dragoman("limits", "list")
        assert {limit["id"] for limit in listed["limits"]} >= {"two-a-day", "everybody"}
        assert [b["spent"] + b["held"] for b in listed["buckets"] if b["limit"] == "two-a-day"] == [2]
        refused = server.dragoman("limits", "set", "money", "--unit", "money", "--per", "day", "--most", "5",
                                  "--currency", "EUR", check=False)  # fmt: skip
        assert "add [[prices]]" in str(refused)
    finally:
        server.stop()
        provider.close()


PRICED = """
[providers.main]
base_url = "{url}"
[models.big]
provider = "main"
model = "big-1"
max_output_tokens = 50
[[prices]]
provider = "main"
model = "big-1"
currency = "EUR"
input = 250_000
output = 1_000_000
valid_from = 2026-01-01
[[limits]]
id = "money"
each = "key"
unit = "money"
currency = "EUR"
per = "month"
most = 5_000_000
"""


@pytest.mark.slow
def test_what_is_not_at_the_ordinary_price_is_refused_under_a_limit_of_money(tmp_path: Path) -> None:
    provider = FakeProvider(Script([whole("hello")], content_type="application/json"))
    server = start(tmp_path, PRICED.format(url=provider.url))
    try:
        key = server.dragoman("keys", "create")["text"]
        body = {"model": "big", "messages": [{"role": "user", "content": "hi"}]}
        with server.http(key) as client:
            refused = client.post("/v1/chat/completions", json={**body, "service_tier": "priority"})
            assert refused.status_code == 400, refused.text
            error = refused.json()["error"]
            assert (error["code"], error["param"]) == ("unpriced_option", "service_tier")
            assert provider.seen == []
            ordinary = client.post("/v1/chat/completions", json={**body, "service_tier": "default"})
            assert ordinary.status_code == 200, ordinary.text
    finally:
        server.stop()
        provider.close()
