"""`dragoman models add`: one trial turn, where the model may be offered, the edit."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dragoman.cli import app
from dragoman.control.offers import where_offered
from dragoman.decide.packs import load_packs
from dragoman.settings import Deployment, load
from dragoman.testing.provider import JSON, RESET, FakeProvider, Script, whole

runner = CliRunner()


def test_a_good_provider_is_added_and_the_diff_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text("[deployment]\nseat = 'SG'\n", encoding="utf-8")
    monkeypatch.setenv("FAKE_KEY", "canary-key-value")
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider:
        done = runner.invoke(
            app,
            [
                "models",
                "add",
                "big",
                "--url",
                provider.url,
                "--key-env",
                "FAKE_KEY",
                "--model",
                "big-1",
                "-c",
                str(file),
            ],
        )
        assert done.exit_code == 0, done.output
        assert "authorization: bearer canary-key-value" in provider.heads[0].lower()
        assert provider.seen[0]["model"] == "big-1"
    assert "+[models.big]" in done.output
    assert "CN (DENY cn.gate" in done.output  # a refusal names its rule
    assert "offers the model within a second" in done.output
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
        (Script([], status=401), "refused the key"),
        (Script([], status=404), "no such path or model"),
        (Script([], status=302), "redirect is not followed"),
        (Script([b"<html>sign in</html>"], content_type="text/html"), "not in the form"),
        (Script([RESET]), "cannot be reached"),
        (Script([b"\0\x17not http at all\r\n\r\n"], bare=True), "cannot be reached"),
    ],
)
def test_a_bad_provider_changes_nothing(tmp_path: Path, how: Script, said: str) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text("", encoding="utf-8")
    with closing(FakeProvider(how)) as provider:
        done = runner.invoke(app, ["models", "add", "big", "--url", provider.url, "-c", str(file), "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert said in told["trial"]["problem"]
    assert not told["written"]
    assert file.read_text(encoding="utf-8") == ""


def test_where_no_key_can_be_read_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, key, link = tmp_path / "dragoman.toml", tmp_path / "key", tmp_path / "link"
    file.write_text("", encoding="utf-8")
    key.write_text("two\nlines\n", encoding="utf-8")
    link.symlink_to(key)
    monkeypatch.delenv("FAKE_KEY", raising=False)
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider:
        add = ["models", "add", "big", "--url", provider.url, "-c", str(file), "--json"]
        for named in (["--key-env", "FAKE_KEY"], ["--key-file", str(link)]):
            done = runner.invoke(app, [*add, *named])
            assert done.exit_code == 1
            assert json.loads(done.stdout)["trial"]["code"] == "no_key"
        assert (provider.seen, file.read_text(encoding="utf-8")) == ([], "")
        unknown = runner.invoke(app, [*add, "--pack", "nobody"])
        assert "No provider pack is called nobody" in unknown.output
        key.write_text("a-key\n", encoding="utf-8")
        done = runner.invoke(app, [*add, "--key-file", str(link)])
        assert json.loads(done.stdout)["written"], "the control: a link is followed for who runs the command"


def test_terms_of_a_vendor_follow_the_host() -> None:
    packs = load_packs()
    vendor = where_offered("openai-api", packs, Deployment(), 1_795_000_000_000)
    own = where_offered(None, packs, Deployment(), 1_795_000_000_000)
    assert set(vendor.allowed) < set(own.allowed)
    assert "JP" in vendor.allowed
    assert {"CN", "KP"} <= set(vendor.denied) | set(vendor.not_ready)
    assert len(own.allowed) + len(own.not_ready) + len(own.denied) >= 249
