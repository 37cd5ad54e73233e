"""Tokens of placed people: only what this zone minted, whole, for this key, in time, is taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dragoman.accounts import placed_tokens
from dragoman.accounts.pepper import Pepper
from dragoman.accounts.placed_tokens import (
    EACH,
    LIFETIME_S,
    LOOKUPS,
    BadTokenError,
    OtherZoneError,
    PlacedTokens,
)
from dragoman.accounts.placement import Address

NOW = 1_790_000_000
PEPPER = Pepper(b"p" * 32)
KEY = "key_local_00000000-0000-7000-8000-000000000001"
PERSON = "prn_local_00000000-0000-7000-8000-000000000002"
HERE = Address("SG", "residential")


def tokens(zone: str = "local", pepper: Pepper = PEPPER) -> PlacedTokens:
    return PlacedTokens(pepper, zone)


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    head, body, signature = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(one + "==")) for one in (head, body)]
    return read[0], read[1], signature


def signed(head: dict[str, Any], body: dict[str, Any], key: Ed25519PrivateKey) -> str:
    text = f"{b64(head)}.{b64(body)}"
    return f"{text}.{b64(key.sign(text.encode()))}"


def test_a_token_says_who_for_whom_from_where_and_until_when() -> None:
    one = tokens()
    token, exp = one.mint(PERSON, KEY, HERE, NOW * 1000)
    said = one.read(token, KEY, NOW + LIFETIME_S - 1)
    assert (said.sub, said.aud, said.iss, said.exp) == (PERSON, KEY, "local", exp)
    assert (said.country, said.kind, exp - NOW) == ("SG", "residential", 900)
    assert tokens().read(token, KEY, NOW).jti == said.jti, "a restarted control knows it"
    assert one.mint(PERSON, KEY, HERE, NOW * 1000)[0] != token


def test_what_a_publisher_makes_or_changes_is_refused() -> None:
    one = tokens()
    token, _ = one.mint(PERSON, KEY, HERE, NOW * 1000)
    head, body, signature = parts(token)
    own = Ed25519PrivateKey.generate()
    altered = {**body, "country": "DE"}
    public = one._public.public_bytes_raw()
    text = f"{b64({**head, 'alg': 'HS256'})}.{b64(body)}"
    bad = {
        "altered": f"{b64(head)}.{b64(altered)}.{signature}",
        "another's signature": signed(head, altered, own),
        "no signature": f"{b64(head)}.{b64(body)}.",
        "alg none": f"{b64({**head, 'alg': 'none'})}.{b64(body)}.",
        "alg HS256 with the public key": f"{text}.{b64(hmac.new(public, text.encode(), hashlib.sha256).digest())}",
        "alg of another case": f"{b64({**head, 'alg': 'eddsa'})}.{b64(body)}.{signature}",
        "a key in the head": signed(
            {**head, "jwk": {"kty": "OKP", "x": b64(own.public_key().public_bytes_raw())}}, body, own
        ),
        "a declared user's": f"{b64({'alg': 'HS256', 'typ': 'JWT'})}.{b64({'sub': 'u', 'exp': NOW + 60})}.x",
        "padded": f"{b64(head)}.{b64(body)}.{signature}==",
        "another spelling of the signature": token[:-1] + chr(ord(token[-1]) + 1),
        "four parts": f"{token}.x",
        "long": token + "A" * 1_024,
        "empty": "",
    }
    for name, made in bad.items():
        with pytest.raises(BadTokenError):
            pytest.fail(f"{name}: {one.read(made, KEY, NOW)}")
    assert one.read(token, KEY, NOW).sub == PERSON, "the control"


def test_time_audience_and_zone_are_its_own() -> None:
    one = tokens()
    token, exp = one.mint(PERSON, KEY, HERE, NOW * 1000)
    for at in (exp, exp + 1, NOW - 1):
        with pytest.raises(BadTokenError, match="time"):
            one.read(token, KEY, at)
    with pytest.raises(BadTokenError, match="another key"):
        one.read(token, KEY[:-1] + "9", NOW)
    there, _ = tokens("eu").mint(PERSON, KEY, HERE, NOW * 1000)
    with pytest.raises(OtherZoneError) as fault:
        one.read(there, KEY, NOW)
    assert fault.value.zone == "eu"
    head, body, signature = parts(there)
    with pytest.raises(BadTokenError, match="not signed"):
        one.read(f"{b64(head)}.{b64({**body, 'iss': 'local'})}.{signature}", KEY, NOW)
    stranger, _ = tokens(pepper=Pepper(b"q" * 32)).mint(PERSON, KEY, HERE, NOW * 1000)
    with pytest.raises(BadTokenError, match="not signed"):
        one.read(stranger, KEY, NOW)


def test_even_our_own_signature_on_a_longer_time_is_refused() -> None:
    one = tokens()
    head, body, _ = parts(one.mint(PERSON, KEY, HERE, NOW * 1000)[0])
    with pytest.raises(BadTokenError, match="time"):
        one.read(signed(head, {**body, "exp": NOW + LIFETIME_S + 1}, one._key), KEY, NOW)
    for change in ({"age": 30}, {"jti": "x"}, {"kind": "moon"}, {"iat": "0"}, {"country": "sg"}):
        with pytest.raises(BadTokenError, match="claims"):
            one.read(signed(head, {**body, **change}, one._key), KEY, NOW)


def test_a_token_is_looked_up_so_often_and_no_more() -> None:
    one = tokens()
    token, exp = one.mint(PERSON, KEY, HERE, NOW * 1000)
    for _ in range(LOOKUPS):
        one.read(token, KEY, NOW)
    with pytest.raises(BadTokenError, match="too often"):
        one.read(token, KEY, NOW)
    other, _ = one.mint(PERSON, KEY, HERE, NOW * 1000)
    assert one.read(other, KEY, NOW).exp == exp, "the control"


def test_more_tokens_than_are_counted_are_refused_and_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An evicted token would be asked about anew; a person alone cannot fill the books of all."""
    monkeypatch.setattr(placed_tokens, "COUNTED", EACH + 1)
    one = tokens()
    first, *others = (one.mint(PERSON, KEY, HERE, NOW * 1000)[0] for _ in range(EACH + 1))
    for _ in range(LOOKUPS):
        one.read(first, KEY, NOW)
    for token in others[:-1]:
        one.read(token, KEY, NOW)
    with pytest.raises(BadTokenError, match="too many others; use one"):
        one.read(others[-1], KEY, NOW)
    one.read(others[0], KEY, NOW)
    other, third = (one.mint(PERSON[:-1] + end, KEY, HERE, NOW * 1000)[0] for end in "34")
    one.read(other, KEY, NOW)
    with pytest.raises(BadTokenError, match="try again in a minute"):
        one.read(third, KEY, NOW)
    with pytest.raises(BadTokenError, match="used too often"):
        one.read(first, KEY, NOW + LIFETIME_S - 1)
    later = NOW + LIFETIME_S + placed_tokens.MINUTE_S
    assert one.read(one.mint(PERSON, KEY, HERE, later * 1000)[0], KEY, later)
    assert len(one._ending) == 1, "what is over is not kept"
