"""`dragoman models add`: one trial turn, where the model may be offered, the edit; and the fake provider itself."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dragoman.cli import app
from dragoman.control.offers import where_offered
from dragoman.decide.packs import load_packs
from dragoman.providers.trial import try_turn
from dragoman.settings import Deployment, load
from dragoman.testing.provider import Behaviour, FakeProvider

runner = CliRunner()


def test_a_good_provider_is_added_and_the_diff_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text("[deployment]\nseat = 'SG'\n", encoding="utf-8")
    monkeypatch.setenv("FAKE_KEY", "canary-key-value")
    with FakeProvider([Behaviour(text="ready")]) as provider:
        done = runner.invoke(
            app,
            [
                "models",
                "add",
                "big",
                "--url",
                provider.base_url,
                "--key-env",
                "FAKE_KEY",
                "--model",
                "big-1",
                "-c",
                str(file),
            ],
        )
        assert done.exit_code == 0, done.output
        assert provider.asked[0].headers["authorization"] == "Bearer canary-key-value"
        assert provider.asked[0].body["model"] == "big-1"
    assert '+[models."big"]' in done.output
    assert "may be offered in" in done.output
    text = file.read_text(encoding="utf-8")
    assert "canary" not in text + done.output
    settings = load(file)
    assert settings.models["big"].model == "big-1"
    assert settings.deployment.seat == "SG"
    again = runner.invoke(app, ["models", "add", "big", "--url", "https://h/v1", "-c", str(file)])
    assert again.exit_code == 1
    assert "exists" in again.output


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Behaviour("status", status=401), "refused the key"),
        (Behaviour("status", status=404), "no such path or model"),
        (Behaviour("status", status=302), "redirect is not followed"),
        (Behaviour("html"), "not in the form"),
        (Behaviour("reset"), "cannot be reached"),
        (Behaviour("garbage"), "cannot be reached"),
    ],
)
def test_a_bad_provider_changes_nothing(tmp_path: Path, how: Behaviour, said: str) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text("", encoding="utf-8")
    with FakeProvider([how]) as provider:
        done = runner.invoke(
            app, ["models", "add", "big", "--url", provider.base_url, "-c", str(file), "--json"]
        )
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert said in told["trial"]["problem"]
    assert not told["written"]
    assert file.read_text(encoding="utf-8") == ""


def test_terms_of_a_vendor_follow_the_host() -> None:
    packs = load_packs()
    vendor = where_offered("openai-api", packs, Deployment(), 1_795_000_000_000)
    own = where_offered(None, packs, Deployment(), 1_795_000_000_000)
    assert set(vendor.allowed) < set(own.allowed)
    assert "JP" in vendor.allowed
    assert {"CN", "KP"} <= set(vendor.denied) | set(vendor.not_ready)
    assert len(own.allowed) + len(own.not_ready) + len(own.denied) >= 249


@pytest.mark.parametrize("kind", ["answer", "tool_calls", "block"])
def test_the_fake_answers_whole_and_streamed(kind: str) -> None:
    with FakeProvider([Behaviour(kind, text='{"a": 1}')]) as provider:  # type: ignore[arg-type]
        assert try_turn(provider.base_url, "m", None).ok
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
        body = json.dumps(
            {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "messages": []}
        )
        connection.request("POST", "/v1/chat/completions", body)
        lines = connection.getresponse().read().decode().strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    frames = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert frames[-1]["usage"]["total_tokens"] >= 1
    finish = {"answer": "stop", "tool_calls": "tool_calls", "block": "content_filter"}[kind]
    assert [c["finish_reason"] for f in frames for c in f["choices"]][-1] == finish
