"""A key that speaks for placed people, over control's sockets: its tokens, whose facts count, and what it may not do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from signup_client import Visitor, refusal
from turns_control import Unix, new_key

from dragoman.control.app import Control
from dragoman.testing.sms import FakeSms

PHONES = iter(f"+658124{n:04d}" for n in range(4000, 5000))
CONFIG = (
    '[zone]\ndata = "d"\n[deployment]\nname = "Lamps"\nseat = "SG"\n[sms]\nurl = "{url}"\nkey_file = "key"\n'
)


@pytest.fixture(scope="module")
def sms() -> Iterator[FakeSms]:
    with closing(FakeSms(key="k")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, sms: FakeSms) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("u")
    (folder / "key").write_text("k\n", encoding="utf-8")
    (folder / "dragoman.toml").write_text(CONFIG.format(url=sms.url), encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


@pytest.fixture
def somebody(control: Control, sms: FakeSms) -> Visitor:
    visitor = Visitor(control.settings.zone.data / "run", sms)
    visitor.sign_up(next(PHONES), residence="SG", least_age=20)
    return visitor


@pytest.fixture(scope="module")
def app(control: Control) -> Any:
    control.core.registry.ensure_tenant("shop", "A shop")
    return new_key(control.settings.zone.data / "run", tenant="shop", end_users="placed")


def mint(visitor: Visitor, key: str) -> tuple[int, Any]:
    return visitor.call("POST", "/v1/me/tokens", {"audience": key})[:2]


def who(visitor: Visitor, key: str, token: str | None) -> tuple[int, Any]:
    connection = Unix(visitor.run / "plan.sock")
    question = {"credential": {"kind": "api_key", "value": key}, "user_token": token, "peer": "remote"}
    connection.request("POST", "/principal", json.dumps(question), {"dragoman-wire": "1"})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def test_the_facts_and_the_place_are_the_persons_own(control: Control, somebody: Visitor, app: Any) -> None:
    somebody.address = {"country": "MY", "kind": "mobile", "peer": "remote"}
    status, made = mint(somebody, app["key"])
    assert (status, made["audience"]) == (201, app["key"])
    status, found = who(somebody, app["text"], made["token"])
    assert (status, found["end_users"], found["key"]) == (200, "placed", app["key"])
    assert found["tenant"] != somebody.who()["tenant"]  # type: ignore[index]
    facts = dict(control.core.classes.facts(found["class"]) or {})
    assert (facts["residence"], facts["age"], facts["address"]) == (
        "SG",
        20,
        {"country": "MY", "kind": "mobile"},
    )
    assert found["expires"] <= made["expires_at"] * 1000
    own = somebody.who()
    assert own is not None
    assert f"principal:{own['principal']}" in found["tags"], "what changes of the person reaches its tokens"
    assert found["principal"] != own["principal"], "a name of its own at each key"
    question = {
        "tenant": found["tenant"], "app": None, "end_users": "placed", "class": found["class"],
        "scopes": ["turns"], "route": "/v1/chat/completions", "model": "dragoman", "channel": "api",
        "address": {"country": "US", "kind": "hosting", "peer": "remote"},
    }  # fmt: skip
    outcome = control.core.planner.outcome(question, made["expires_at"] * 1000)
    given = outcome.facts.values
    assert (given["address_country"], given["address_kind"]) == ("MY", "mobile"), (
        "not where the app's server is"
    )


def test_without_a_right_token_the_key_speaks_for_nobody(
    control: Control, somebody: Visitor, app: Any
) -> None:
    token = mint(somebody, app["key"])[1]["token"]
    other = new_key(somebody.run, tenant="shop", end_users="placed")
    declared = new_key(somebody.run, tenant="shop", end_users="declared")
    staff = new_key(somebody.run, tenant="shop")
    for key, sent in (
        (app, None),
        (app, token[:-2]),
        (other, token),
        (declared, token),
        (staff, token),
    ):
        assert refusal(who(somebody, key["text"], sent)) == (401, "invalid_user_token")
    assert who(somebody, app["text"], token)[0] == 200, "the control"
    for key in (declared, staff):
        assert refusal(mint(somebody, key["key"])) == (404, "audience_not_found")
    assert refusal(mint(somebody, other["key"].replace("key_", "prn_"))) == (400, "invalid_value")


def test_only_a_person_who_is_signed_in_gets_one(
    control: Control, somebody: Visitor, app: Any, sms: FakeSms
) -> None:
    token = mint(somebody, app["key"])[1]["token"]
    found = who(somebody, app["text"], token)[1]
    as_key = {name: str(found[name]) for name in ("principal", "tenant", "class", "key")}
    by_key = {f"dragoman_{name}": value for name, value in as_key.items()}
    answer = somebody.call("POST", "/v1/me/tokens", {"audience": app["key"]}, **by_key)
    assert refusal(answer[:2]) == (403, "not_by_key"), "no publisher mints from a token it was given"
    for method, path in (("GET", "/v1/me/placement"), ("PUT", "/v1/me/placement")):
        body = {} if method == "PUT" else None
        assert refusal(somebody.call(method, path, body, **by_key)[:2]) == (404, "not_a_person"), (
            "nor changes it"
        )
    guest = Visitor(somebody.run, sms)
    assert mint(guest, app["key"])[0] == 401
    assert somebody.call("DELETE", "/v1/me/sessions")[0] == 204
    assert refusal(who(somebody, app["text"], token)) == (401, "invalid_user_token"), "signed out: over"
