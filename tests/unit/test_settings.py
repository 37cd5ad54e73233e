"""The configuration: faults name the nearest key and the line; secrets stay out; the environment wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.control.loaded import read_all
from dragoman.errors import ConfigError
from dragoman.settings import LOCAL_MODEL, load


def problems(tmp_path: Path, text: str) -> str:
    file = tmp_path / "dragoman.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as fault:
        load(file)
    return "\n".join(fault.value.problems)


def test_the_default_serves() -> None:
    settings = load(None)
    assert settings.zone.id == "local"
    assert settings.deployment.stage == "local"
    assert settings.models[LOCAL_MODEL].provider == "local"
    assert settings.zone.data.is_absolute()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[zone]\nidd = 'eu'\n", ":2: unknown key `zone.idd`; did you mean `id`?"),
        ("[zonee]\nid = 'eu'\n", "unknown key `zonee`; did you mean `zone`?"),
        (
            "[providers.main]\nbase_url = 'https://h/v1'\nbase_ulr = 'x'\n",
            ":3: unknown key `providers.main.base_ulr`; did you mean",
        ),
        (
            "[providers.main]\nbase_url = 'https://h/v1'\napi_key = 'sk-1'\n",
            "a secret does not belong in this file",
        ),
        (
            "[providers.main]\nbase_url = 'https://h/v1'\nkey_env = 'sk-live-1'\n",
            "the NAME of an environment variable",
        ),
        ("[providers.main]\nbase_url = 'https://u:p@h/v1'\n", "carries no credentials"),
        ("[providers.main]\nbase_url = 'http://h/v1'\n", "http is for loopback only"),
        (
            "[providers.main]\nbase_url = 'https://h/v1'\nheaders = ['Authorization']\n",
            "never go from a caller to a provider",
        ),
        ("[providers.main]\nkind = 'openai'\n", "needs base_url"),
        ("[models.x]\nprovider = 'nobody'\nmodel = 'm'\n", "no provider is called 'nobody'"),
        ("[models.x]\nprovider = 'local'\nmodel = 'm'\nfallbacks = ['x']\n", "not another model here"),
        (
            "[zone]\nlisten = '0.0.0.0:8080'\n",
            'in stage local, set deployment.stage = "public"; and edge.certificate',
        ),
        ("[zone]\nid = 'a_b'\n", "zone.id"),
        ("[deployment]\nseat = 'sg'\n", "deployment.seat"),
        ("not toml", "not valid TOML"),
        ("[tenants.a]\ntitle = 'a\u202eb'\n", "tenants.a.title: holds something that can be seen"),
        ("[tenants.a]\ntitle = ' '\n", "tenants.a.title: holds something that can be seen"),
    ],
)
def test_faults_say_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems(tmp_path, text)


def test_a_fault_never_shows_the_value(tmp_path: Path) -> None:
    said = problems(
        tmp_path,
        "[providers.main]\nbase_url = 'https://h/v1'\nkey_env = 'canary-secret-1'\ntoken = 'canary-2'\n",
    )
    assert "canary" not in said


def test_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text("[zone]\nid = 'eu'\nlisten = '127.0.0.1:1'\n", encoding="utf-8")
    monkeypatch.setenv("DRAGOMAN_ZONE__LISTEN", "127.0.0.1:2")
    settings = load(file)
    assert (settings.zone.id, settings.zone.listen) == ("eu", "127.0.0.1:2")
    monkeypatch.setenv("DRAGOMAN_ZOEN__LISTEN", "127.0.0.1:3")
    with pytest.raises(ConfigError, match="did you mean `zone`"):
        load(file)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DRAGOMAN_LOG", "error", "`log` is a table: set one of its keys, DRAGOMAN_LOG__LEVEL=..."),
        ("dragoman_log", "error", "environment variable dragoman_log: `log` is a table"),
        ("DRAGOMAN_RULES", "a.toml", "DRAGOMAN_RULES: a table or a list is written as JSON"),
        ("DRAGOMAN_ZONE__HOSTS", "a", "DRAGOMAN_ZONE__HOSTS: a table or a list is written as JSON"),
        ("DRAGOMAN_LIMITS", "x", "DRAGOMAN_LIMITS: a table or a list is written as JSON"),
        ("DRAGOMAN_PROVIDERS", "sk-1", "DRAGOMAN_PROVIDERS: a table or a list is written as JSON"),
    ],
)
def test_a_variable_that_is_no_table_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as fault:
        load(None)
    assert said in fault.value.problems[0]
    assert "sk-1" not in fault.value.problems[0], "a value is never printed"


def test_the_log_is_set_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_RELAY_LOG", "debug")  # the relay's own: none of this file
    assert load(None).log.level == "info"
    monkeypatch.setenv("DRAGOMAN_LOG__LEVEL", "error")
    assert load(None).log.level == "error"
    monkeypatch.delenv("DRAGOMAN_LOG__LEVEL")
    monkeypatch.setenv("DRAGOMAN_LOG", '{"level": "debug"}')
    assert load(None).log.level == "debug"


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text("rules = ['a.toml']\n[zone]\ndata = 'd'\n", encoding="utf-8")
    settings = load(file)
    assert settings.rules == (tmp_path / "a.toml",)
    assert settings.zone.data == tmp_path / "d"
    assert settings.journal.folder == tmp_path / "d" / "journal"


def test_a_vendor_host_brings_its_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dragoman.toml"
    url = "[providers.main]\nbase_url = 'https://api.openai.com/v1'\n"
    file.write_text(url + "key_env = 'SOME_KEY_NAME'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="SOME_KEY_NAME is not set"):
        read_all(file, lambda _: None)
    monkeypatch.setenv("SOME_KEY_NAME", "secret-value")
    loaded = read_all(file, lambda _: None)
    assert loaded.territory == {"main"}
    assert "secret-value" not in str(loaded.relay)
    file.write_text(url + "pack = 'self-hosted'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="served under the terms of pack"):
        read_all(file, lambda _: None)
    file.write_text(url + "pack = 'openai-ap'\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        read_all(file, lambda _: None)


def test_a_fault_between_tables_names_them_and_no_key_called_file(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text('[models.x]\nprovider = "nope"\nmodel = "m"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as fault:
        load(file)
    assert fault.value.problems == [f"{file}: models.x.provider: no provider is called 'nope'"]
