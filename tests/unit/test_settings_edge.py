"""The public port opens only when everything it needs is there, and says what is missing; guests; `geo check`."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dragoman.cli import app
from dragoman.control import guests
from dragoman.control.loaded import Holder, read_all
from dragoman.control.planner import Planner
from dragoman.control.public_gate import check_administrator
from dragoman.control.reload import _check_fixed
from dragoman.errors import ConfigError
from dragoman.settings import Settings, load
from dragoman.settings_edge import Edge
from dragoman.stores.migrate import migrate
from dragoman.testing.mmdb import mmdb

PUBLIC = """
[deployment]
stage = "public"
[zone]
listen = "0.0.0.0:8443"
public_url = "https://ask.example.org"
[edge]
certificate = "chain.pem"
key = "key.pem"
"""
DAY = 86_400


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "dragoman.toml"
    file.write_text(text, encoding="utf-8")
    return file


def settings(tmp_path: Path, text: str) -> Settings:
    return load(written(tmp_path, text))


def test_a_public_address_with_everything_loads(tmp_path: Path) -> None:
    read = settings(tmp_path, PUBLIC)
    assert read.hosts() == ("ask.example.org",)
    assert read.edge.certificate == tmp_path / "chain.pem"
    by_proxy = PUBLIC.replace(
        'certificate = "chain.pem"\nkey = "key.pem"', 'trusted_proxies = ["10.0.0.0/8"]'
    )
    assert settings(tmp_path, by_proxy).edge.trusted_proxies == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ('stage = "public"\n', 'deployment.stage = "public"'),
        ('certificate = "chain.pem"\nkey = "key.pem"\n', "edge.trusted_proxies"),
        ('public_url = "https://ask.example.org"\n', "zone.public_url"),
        ('key = "key.pem"\n', "certificate and key together"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, without: str, said: str) -> None:
    assert without in PUBLIC
    with pytest.raises(ConfigError) as fault:
        settings(tmp_path, PUBLIC.replace(without, ""))
    assert said in fault.value.problems[0]


@pytest.mark.parametrize(
    ("edge", "said"),
    [
        ('trusted_proxies = ["10.0.0.1/8"]', "has host bits set"),
        ('trusted_proxies = ["0.0.0.0/0"]', "trusts everybody"),
        ('trusted_proxies = ["10.0.0.0/8"]', "stage local"),
        ("proxy_protocol = true", "needs trusted_proxies"),
    ],
)
def test_proxies_are_named_exactly(tmp_path: Path, edge: str, said: str) -> None:
    with pytest.raises(ConfigError) as fault:
        settings(tmp_path, f"[edge]\n{edge}\n")
    assert said in fault.value.problems[0]


def test_stage_public_needs_an_administrator(tmp_path: Path) -> None:
    read, database = settings(tmp_path, PUBLIC), tmp_path / "zone.db"
    with pytest.raises(ConfigError, match="dragoman admin invite"):
        check_administrator(read, database)
    migrate(database)
    with pytest.raises(ConfigError, match="nobody can log in"):
        check_administrator(read, database)
    check_administrator(load(None), database)


def test_the_stage_does_not_change_while_the_zone_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    local = read_all(written(tmp_path, '[zone]\nlisten = "127.0.0.1:8443"\n'), lambda _: None)
    public = read_all(written(tmp_path, PUBLIC.replace("0.0.0.0", "127.0.0.1")), lambda _: None)
    _check_fixed(local, local)
    with pytest.raises(ConfigError, match="restart"):
        _check_fixed(local, public)


@pytest.mark.parametrize(
    ("stage", "outcomes"), [("public", ("ALLOW_WITH", "DENY")), ("local", ("ALLOW_WITH",) * 2)]
)
def test_guests_of_a_public_port_get_the_built_in_provider_from_one_pool(
    tmp_path: Path, stage: str, outcomes: tuple[str, str]
) -> None:
    more = '[providers.own]\nbase_url = "https://models.example/v1"\n[models.own]\nprovider = "own"\nmodel = "m"\n'
    text = (PUBLIC if stage == "public" else "") + more
    loaded = read_all(written(tmp_path, text), lambda _: None)
    guest = {"end_users": "none", "account": "new", "guest": True}

    def plan(person: dict[str, object], model: str) -> dict[str, object]:
        question = {
            "tenant": "ten_local_a", "app": None, "end_users": "none", "class": "c_x", "scopes": ["turns"],
            "route": "/v1/chat/completions", "model": model, "channel": "web",
            "address": {"country": None, "kind": "unknown", "peer": "remote"},
        }  # fmt: skip
        return Planner(Holder(loaded), lambda _: person).plan(question, 1_790_000_000_000)

    plans = [plan(guest, "dragoman"), plan(guest, "own")]
    assert tuple(one["outcome"] for one in plans) == outcomes
    pool = {"name": guests.POOL, "turns": 16, "per_minute": 120} if stage == "public" else None
    assert [one["limits"]["pool"] for one in plans] == [pool, pool]  # type: ignore[index]
    staff = plan({"end_users": "none", "account": "established"}, "own")
    assert (staff["outcome"], staff["limits"]["pool"]) == ("ALLOW_WITH", None)  # type: ignore[index]


def test_geo_check_says_what_the_files_say(tmp_path: Path) -> None:
    now = int(time.time())
    (tmp_path / "country.mmdb").write_bytes(
        mmdb(
            {"203.0.113.0/24": {"country": {"iso_code": "DE"}}, "2001:db8::/32": {"country_code": "sg"}}, now
        )
    )
    (tmp_path / "kind.mmdb").write_bytes(
        mmdb({"203.0.113.0/25": {"connection_type": "Cable/DSL"}, "203.0.113.128/25": {"traits": {"is_anonymous_vpn": True}}},
             now - 100 * DAY)
    )  # fmt: skip
    file = written(tmp_path, '[edge]\naddress_files = ["country.mmdb", "kind.mmdb"]\n')
    asked = ["geo", "check", "203.0.113.7", "203.0.113.200", "2001:db8::1", "198.51.100.1", "-c", str(file)]
    answer = CliRunner().invoke(app, [*asked, "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert [(one["country"], one["kind"]) for one in told["addresses"]] == [
        ("DE", "residential"),
        ("DE", "vpn"),
        ("SG", "unknown"),
        (None, "unknown"),
    ]
    assert [one["old"] for one in told["files"]] == [False, True]
    assert "OLD" in CliRunner().invoke(app, asked).stdout
    whole = (tmp_path / "country.mmdb").read_bytes()
    (tmp_path / "country.mmdb").write_bytes(whole[: len(whole) // 2])
    broken = CliRunner().invoke(app, asked)
    assert broken.exit_code == 1
    assert "BROKEN" in broken.stdout
    assert "DE" not in broken.stdout, "while a file cannot be read everything is unknown"


def test_geo_check_without_files_says_what_to_do(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["geo", "check", "192.0.2.1", "-c", str(written(tmp_path, ""))])
    assert answer.exit_code == 1
    assert "address_files" in answer.stderr


def test_rates_of_clients_are_the_relays_own_unless_they_are_set(tmp_path: Path) -> None:
    limits = (Path(__file__).resolve().parents[2] / "crates/relay/src/limits.rs").read_text(encoding="utf-8")
    plain = Edge()
    for name in ("failed_credentials", "address_requests", "requests", "refused_turns"):
        own = re.search(rf"pub const {name.upper()}: u64 = ([0-9_]+);", limits)
        assert own is not None
        assert getattr(plain, f"{name}_per_minute") == int(own[1]), name
    file = written(tmp_path, "[edge]\nrequests_per_minute = 600\n")
    assert read_all(file, lambda _: None).relay["edge"]["per_minute"] == {"requests": 600}
    assert "per_minute" not in read_all(None, lambda _: None).relay["edge"]


def test_the_pages_own_use_stays_far_below_the_rate_of_a_person() -> None:
    static = Path(__file__).resolve().parents[2] / "src/dragoman/web/static"
    files = [path for path in static.rglob("*") if path.is_file()]
    loads_a_minute = 20
    assert len(files) * loads_a_minute <= Edge().requests_per_minute, "with a cache that keeps nothing"
