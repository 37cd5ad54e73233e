"""The identity provider's part of logging in, against the shipped fake: what is exactly as asked comes in, alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import ValidationError

from dragoman.admin import oidc
from dragoman.admin.oidc import Came, OidcError, OidcSilentError, Provider
from dragoman.settings_admin import Admin, Allowed, Oidc
from dragoman.testing.oidc import FakeOidc

ISSUER = "https://login.example.org"
ORIGIN = "https://admin.example.org"
ALLOW = (Allowed(role="operator", subject="user-1"), Allowed(role="auditor", group="readers"))


def provider(fake: FakeOidc, **settings: Any) -> Provider:
    told = {"issuer": fake.issuer, "client_id": "dragoman", "allow": ALLOW, **settings}
    return Provider(Oidc(**told), ORIGIN, transport=fake.transport())


def log_in(fake: FakeOidc, one: Provider | None = None, *, confirm: bool = False, **callback: str) -> Came:
    """The whole round; `callback` replaces parameters of the way back."""

    async def whole() -> Came:
        client = one or provider(fake)
        asked = await client.ask(confirm=confirm)
        back = {name: values[0] for name, values in parse_qs(urlsplit(fake.allow(asked.url)).query).items()}
        return await client.came({**back, **callback}, asked.remember)

    return asyncio.run(whole())


@pytest.fixture
def fake() -> FakeOidc:
    return FakeOidc(ISSUER)


def test_the_round_brings_a_subject_and_a_role(fake: FakeOidc) -> None:
    assert log_in(fake) == Came(f"{ISSUER} user-1", "Li Wei", "operator", 0)
    asked = fake.asked[0]
    assert asked["redirect_uri"] == f"{ORIGIN}/login/oidc/callback"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert len(asked["state"]) >= 40
    assert len(asked["nonce"]) >= 40
    assert asked["state"] != asked["nonce"]


NOW = int(time.time())
WRONG: dict[str, dict[str, Any]] = {
    "iss": {"iss": "https://evil.example"},
    "aud": {"aud": "another"},
    "aud list": {"aud": ["another"]},
    "aud of two without azp": {"aud": ["dragoman", "another"]},
    "aud gone": {"aud": None},
    "azp": {"azp": "another"},
    "exp": {"exp": NOW - 3_600},
    "exp gone": {"exp": None},
    "exp no number": {"exp": "never"},
    "iat": {"iat": NOW - 3_600},
    "iat ahead": {"iat": NOW + 3_600},
    "iat gone": {"iat": None},
    "nbf": {"nbf": NOW + 3_600},
    "nonce": {"nonce": "another"},
    "nonce gone": {"nonce": None},
    "sub gone": {"sub": None},
    "sub empty": {"sub": ""},
    "stranger": {"sub": "user-2"},
    "group is no list": {"sub": "user-2", "groups": "readers"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_claim_that_is_not_as_asked_keeps_out(fake: FakeOidc, name: str) -> None:
    fake.claims = WRONG[name]
    with pytest.raises(OidcError):
        log_in(fake)
    fake.claims = {}
    assert log_in(fake).role == "operator", "the control"


@pytest.mark.parametrize("switch", ["unsigned", "stranger"])
def test_an_unsigned_or_foreign_token_keeps_out(fake: FakeOidc, switch: str) -> None:
    setattr(fake, switch, True)
    with pytest.raises(OidcError):
        log_in(fake)


def test_a_token_signed_with_the_public_key_as_secret_keeps_out(
    fake: FakeOidc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "token", lambda nonce, **_: fake.hmac_token(nonce))
    with pytest.raises(OidcError):
        log_in(fake)


def test_two_audiences_are_fine_with_ours_as_azp(fake: FakeOidc) -> None:
    fake.claims = {"aud": ["another", "dragoman"], "azp": "dragoman"}
    assert log_in(fake).role == "operator"


@pytest.mark.parametrize(
    "callback",
    [
        {"state": "another"},
        {"state": ""},
        {"iss": "https://evil.example"},
        {"error": "access_denied"},
        {"code": ""},
        {"code": "another"},
    ],
)
def test_a_way_back_that_is_not_as_asked_keeps_out(fake: FakeOidc, callback: dict[str, str]) -> None:
    with pytest.raises(OidcError):
        log_in(fake, **callback)


def test_keys_are_asked_for_again_when_they_rotate(fake: FakeOidc, monkeypatch: pytest.MonkeyPatch) -> None:
    one = provider(fake)
    log_in(fake, one)
    log_in(fake, one)
    assert fake.fetched.count("keys") == 1, "kept"
    fake.rotate()
    with pytest.raises(OidcError):
        log_in(fake, one)
    assert fake.fetched.count("keys") == 1, "not asked for at every stranger's token"
    monkeypatch.setattr(oidc, "ROTATION_S", 0)
    assert log_in(fake, one).role == "operator"
    assert fake.fetched.count("keys") == 2


def test_the_allow_list_reads_subject_verified_mail_and_groups(fake: FakeOidc) -> None:
    fake.claims = {"sub": "user-2", "groups": ["staff", "readers"]}
    assert log_in(fake).role == "auditor"
    by_mail = provider(fake, allow=(Allowed(role="auditor", email="Li@Example.org"),))
    assert log_in(fake, by_mail).role == "auditor"
    for claims in ({"email_verified": False}, {"email_verified": None}, {"email_verified": "true"}):
        fake.claims = claims
        with pytest.raises(OidcError):
            log_in(fake, by_mail)
    fake.claims = {}
    with pytest.raises(OidcError):
        log_in(fake, provider(fake, allow=()))


def test_a_proof_must_be_of_now(fake: FakeOidc) -> None:
    assert log_in(fake, confirm=True).proved_at >= NOW * 1000
    assert (fake.asked[-1]["prompt"], fake.asked[-1]["max_age"]) == ("login", "0")
    for claims in ({"auth_time": NOW - 3_600}, {"auth_time": None}, {"auth_time": NOW + 3_600}):
        fake.claims = claims
        with pytest.raises(OidcError):
            log_in(fake, confirm=True)


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "https://evil.example/token"},
        {"jwks_uri": "https://evil.example/keys"},
        {"jwks_uri": "http://login.example.org/keys"},
        {"jwks_uri": "http://127.0.0.1/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": None},
    ],
)
def test_nothing_is_fetched_from_anywhere_else(fake: FakeOidc, lie: dict[str, Any]) -> None:
    fake.discovery = lie
    with pytest.raises(OidcError):
        log_in(fake)
    assert fake.fetched == ["discovery"]


def test_a_named_further_host_may_hold_the_keys(fake: FakeOidc) -> None:
    fake.discovery = {"jwks_uri": "https://keys.example.org/keys"}
    assert log_in(fake, provider(fake, hosts=("keys.example.org",))).role == "operator"


def test_a_confidential_client_sends_its_secret(fake: FakeOidc, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.client_secret = "s3cret"
    with pytest.raises(OidcError):
        log_in(fake)
    monkeypatch.setenv("OIDC_SECRET", "s3cret")
    assert log_in(fake, provider(fake, client_secret_env="OIDC_SECRET")).role == "operator"


def test_a_provider_that_does_not_answer_is_told_apart(fake: FakeOidc) -> None:
    def gone(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there")

    settings = Oidc(issuer=ISSUER, client_id="dragoman", allow=ALLOW)
    for transport in (httpx.MockTransport(gone), httpx.MockTransport(lambda _: httpx.Response(500))):
        with pytest.raises(OidcSilentError):
            log_in(fake, Provider(settings, ORIGIN, transport=transport))


def test_a_large_or_broken_answer_keeps_out(fake: FakeOidc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "ANSWER_BYTES", 50)
    with pytest.raises(OidcError, match="too large"):
        log_in(fake)


@pytest.mark.parametrize(
    "settings",
    [
        {"listen": "0.0.0.0:9443"},
        {"listen": "0.0.0.0:9443", "tls_cert": "c.pem"},
        {"listen": "0.0.0.0:9443", "tls_cert": "c.pem", "tls_key": "k.pem"},
        {"listen": "0.0.0.0:9443", "trusted_proxies": ["10.0.0.0/8"], "public_url": "http://localhost:1"},
        {"listen": "0.0.0.0:9443", "trusted_proxies": ["everywhere"], "public_url": "https://a.example"},
        {"public_url": "http://admin.example.org"},
        {"public_url": "https://10.0.0.1"},
        {"public_url": "https://admin.example.org/path"},
        {"oidc": {"issuer": "http://login.example.org", "client_id": "d"}},
        {"oidc": {"issuer": ISSUER, "client_id": "d", "algorithms": ["none"]}},
        {"oidc": {"issuer": ISSUER, "client_id": "d", "algorithms": ["HS256"]}},
        {"oidc": {"issuer": ISSUER, "client_id": "d", "client_secret_env": "s3cret in place"}},
        {"oidc": {"issuer": ISSUER, "client_id": "d", "allow": [{"role": "operator"}]}},
    ],
)
def test_settings_that_would_let_strangers_near_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Admin(**settings)
    Admin(listen="0.0.0.0:9443", tls_cert="c.pem", tls_key="k.pem", public_url="https://admin.example.org")
    Admin(listen="0.0.0.0:9443", trusted_proxies=["10.0.0.0/8"], public_url="https://admin.example.org")


@pytest.mark.parametrize(
    ("admin", "relay", "listen", "origin"),
    [
        ({}, "127.0.0.1:9080", "127.0.0.1:9081", "http://localhost:9081"),
        ({"listen": "off"}, "127.0.0.1:9080", None, "http://localhost:"),
        ({"listen": "127.0.0.1:7"}, "127.0.0.1:9080", "127.0.0.1:7", "http://localhost:7"),
        ({}, "127.0.0.1:65535", "127.0.0.1:9081", "http://localhost:9081"),
    ],
)
def test_the_address_follows_the_relays(
    admin: dict[str, Any], relay: str, listen: str | None, origin: str
) -> None:
    made = Admin(**admin)
    assert (made.address(relay), made.origin(relay)) == (listen, origin)
