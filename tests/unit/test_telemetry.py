"""Spans: of decisions and turns, by the names of the release that was chosen, to the collector named and no other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from dragoman.control import telemetry
from dragoman.control.loaded import read_all
from dragoman.errors import ConfigError
from dragoman.events import PlanMade, emit
from dragoman.settings import Settings, Zone
from dragoman.settings_operations import Telemetry
from dragoman.testing.collector import FakeCollector

AT = 1_795_651_200_000
RESULT = {
    "v": 1,
    "kind": "result",
    "at": AT,
    "ms": 250,
    "turn": "trn_local_1",
    "tenant": "ten_local_1",
    "decision": "dec_1",
    "status": "finished",
    "asked": "dragoman",
    "provider": "local",
    "model": "dragoman-local",
    "finish": ["stop"],
    "usage": {"input": 3, "output": 9, "known": True},
    "output": "sha256:00",
    "interventions": ["int_1"],
    "error": None,
}


def lines(*entries: dict[str, object]) -> bytes:
    return b"".join(json.dumps(e, separators=(",", ":"), sort_keys=True).encode() + b"\n" for e in entries)


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    with closing(FakeCollector()) as made:
        yield made


def settings(url: str | None, **more: object) -> Settings:
    return Settings(zone=Zone(id="z1"), telemetry=Telemetry(otlp_endpoint=url, **more))  # type: ignore[arg-type]


def test_a_turn_and_a_decision_become_spans(collector: FakeCollector) -> None:
    made = telemetry.open_telemetry(settings(collector.url))
    assert made is not None
    emit(PlanMade("ALLOW", "dec_1", reusable=True, us=1_500))
    made.turns(lines({"v": 1, "kind": "intent", "turn": "trn_local_1"}, RESULT))
    made.close()
    spans = {span["name"]: span for span in collector.spans()}
    assert set(spans) == {"decide", "chat dragoman"}
    assert set(collector.paths) == {"/v1/traces"}
    turn = spans["chat dragoman"]
    assert (turn["start"], turn["end"]) == ((AT - 250) * 1_000_000, AT * 1_000_000)
    assert turn["resource"] == {
        "service.name": "dragoman-control",
        "service.version": turn["resource"]["service.version"],
        "dragoman.zone": "z1",
    }
    assert turn["attributes"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "local",
        "gen_ai.request.model": "dragoman",
        "gen_ai.response.model": "dragoman-local",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 9,
        "dragoman.turn": "trn_local_1",
        "dragoman.tenant": "ten_local_1",
        "dragoman.decision": "dec_1",
        "dragoman.status": "finished",
        "dragoman.interventions": 1,
    }
    assert spans["decide"]["attributes"] == {"dragoman.outcome": "ALLOW", "dragoman.decision": "dec_1"}
    assert spans["decide"]["end"] - spans["decide"]["start"] == 1_500_000


def test_the_names_of_an_older_release_and_a_turn_that_failed(collector: FakeCollector) -> None:
    made = telemetry.open_telemetry(settings(collector.url, genai_names="1.36"))
    assert made is not None
    unknown = {"input": 0, "output": 0, "known": False}
    made.turns(
        lines({**RESULT, "status": "failed", "error": "provider_timeout", "usage": unknown, "ms": None})
    )
    made.close()
    (span,) = collector.spans()
    assert span["attributes"]["gen_ai.system"] == "local"
    assert "gen_ai.provider.name" not in span["attributes"]
    assert "gen_ai.usage.input_tokens" not in span["attributes"]
    assert span["attributes"]["error.type"] == "provider_timeout"
    assert span["status"] == 2
    assert span["start"] == span["end"]


def test_after_closing_nothing_is_heard_and_off_is_off(collector: FakeCollector) -> None:
    made = telemetry.open_telemetry(settings(collector.url))
    assert made is not None
    made.close()
    emit(PlanMade("ALLOW", "dec_2", reusable=True, us=1))
    assert collector.spans() == []
    assert telemetry.open_telemetry(settings(None)) is None


def test_a_redirect_or_a_proxy_of_the_environment_is_not_followed(
    collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    with closing(FakeCollector(moved_to=f"{collector.url}/v1/traces")) as moved:
        made = telemetry.open_telemetry(settings(moved.url))
        assert made is not None
        made.turns(lines(RESULT))
        made.close()
        assert moved.raw, "nothing was sent at all"
    assert collector.raw == []


def test_a_collector_that_does_not_answer_holds_nobody_up(collector: FakeCollector) -> None:
    url = collector.url
    collector.close()
    made = telemetry.open_telemetry(settings(url))
    assert made is not None
    begun = time.monotonic()
    for _ in range(20):
        made.turns(lines(*[RESULT] * 500))
    made.close()
    assert time.monotonic() - begun < 25, "shorter than the exporter's own 30 s"


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text('[telemetry]\notlp_endpoint = "http://127.0.0.1:4318"\n')
    assert read_all(file, lambda _: None).settings.telemetry.otlp_endpoint == "http://127.0.0.1:4318"
    monkeypatch.setattr(telemetry, "EXTRA", ("opentelemetry.sdk", "opentelemetry.not_there"))
    with pytest.raises(ConfigError, match=r"pip install 'dragoman\[otel\]'"):
        read_all(file, lambda _: None)
    file.write_text("")
    assert read_all(file, lambda _: None).settings.telemetry.otlp_endpoint is None


def test_a_collector_stands_in_the_zones_country() -> None:
    made = settings("https://collector.example")
    telemetry.check(made)
    at_home = made.model_copy(update={"zone": Zone(id="z1", country="SG")})
    with pytest.raises(ConfigError, match=r"telemetry\.country"):
        telemetry.check(at_home)
    telemetry.check(
        at_home.model_copy(update={"telemetry": made.telemetry.model_copy(update={"country": "SG"})})
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://collector.example",
        "collector:4318",
        "https://a:b@c.example",
        "https://c.example/?a=b",
        "ftp://c",
    ],
)
def test_where_spans_may_go(url: str) -> None:
    with pytest.raises(ValidationError):
        Telemetry(otlp_endpoint=url)
