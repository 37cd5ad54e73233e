"""Keys, user tokens, sessions: what passes, what does not, and that what is stored is no credential."""

from __future__ import annotations

import base64
import json
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.accounts import keys, sessions, user_tokens
from dragoman.accounts.pepper import Pepper, open_pepper
from dragoman.errors import ConfigError

PEPPER = Pepper(b"p" * 32)


def test_a_key_is_what_scanners_are_told() -> None:
    text = str(keys.mint("eu-1"))
    assert re.fullmatch(keys.KEY_REGEX, text)
    assert keys.parse(text) is not None
    assert text not in repr(keys.parse(text))


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_character_is_no_key(place: int, character: str) -> None:
    text = str(keys.mint("local"))
    place %= len(text)
    changed = text[:place] + character + text[place + 1 :]
    if changed != text:
        parsed = keys.parse(changed)
        assert parsed is None or not keys.verify(
            PEPPER, parsed, keys.verifier(PEPPER, keys.parse(text) or keys.mint("x"))
        )


@pytest.mark.parametrize(
    "text", ["", "dragoman_", "dragoman_local_a_b_c", "密" * 80, "dragoman_local_" + "a" * 5000]
)
def test_malformed_keys(text: str) -> None:
    assert keys.parse(text) is None


def test_a_truncated_key_and_a_prefix_are_no_key() -> None:
    text = str(keys.mint("local"))
    assert all(keys.parse(text[:length]) is None for length in range(len(text)))


def test_the_stored_form_is_no_credential() -> None:
    key = keys.mint("local")
    stored = keys.verifier(PEPPER, key)
    assert keys.verify(PEPPER, key, stored)
    assert keys.parse(stored) is None
    assert not keys.verify(PEPPER, keys.KeyText(key.zone, key.public_id, stored[:43]), stored)
    assert not keys.verify(Pepper(b"q" * 32), key, stored)


def test_purposes_and_parts_do_not_run_together() -> None:
    assert PEPPER.digest("a", "bc") != PEPPER.digest("ab", "c")
    assert PEPPER.digest("a", "b", "c") != PEPPER.digest("a", "bc")


def test_the_pepper_file_is_private_and_stable(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "pepper"
    first = open_pepper(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_pepper(file).digest("x") == first.digest("x")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="readable by others"):
        open_pepper(file)


def claims(**changes: object) -> user_tokens.UserClaims:
    values = {"sub": "u-1", "residence": "SG", "age": 30, "locale": "en", "exp": 2_000, **changes}
    return user_tokens.UserClaims(**values)


def test_a_user_token_is_read_back() -> None:
    assert user_tokens.read("s", user_tokens.sign("s", claims()), 1_000) == claims()


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1_000},
        {"exp": 1_000 + 86_401},
        {"sub": ""},
        {"sub": "名"},
        {"sub": "u1\n"},
        {"residence": "sg"},
        {"residence": "SG\n"},
        {"age": -1},
        {"age": 151},
        {"locale": "fr"},
    ],
)
def test_bad_claims(changes: dict[str, object]) -> None:
    with pytest.raises(user_tokens.BadTokenError):
        user_tokens.read("s", user_tokens.sign("s", claims(**changes)), 1_000)


def test_forged_tokens() -> None:
    token = user_tokens.sign("s", claims())
    head, body, signature = token.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    other = (
        base64.urlsafe_b64encode(json.dumps({**vars_of(claims()), "age": 12}).encode()).rstrip(b"=").decode()
    )
    for forged in (
        f"{none}.{body}.",
        f"{head}.{other}.{signature}",
        f"{head}.{body}",
        token + "x",
        token[:-2],
        "..",
        "密.密.密",
        "a" * 5000,
    ):
        with pytest.raises(user_tokens.BadTokenError):
            user_tokens.read("s", forged, 1_000)
    with pytest.raises(user_tokens.BadTokenError):
        user_tokens.read("t", token, 1_000)


def vars_of(value: user_tokens.UserClaims) -> dict[str, object]:
    return {name: getattr(value, name) for name in ("sub", "residence", "age", "locale", "exp")}


def test_sessions_hold_until_they_end_and_only_here() -> None:
    session = sessions.Session("ten_local_a", "prn_local_b", 5_000)
    value = sessions.cookie(PEPPER, session)
    assert sessions.open_cookie(PEPPER, value, 4_999) == session
    assert sessions.open_cookie(PEPPER, value, 5_000) is None
    assert sessions.open_cookie(Pepper(b"q" * 32), value, 0) is None
    assert sessions.open_cookie(PEPPER, value.replace("prn_local_b", "prn_local_c"), 0) is None
    assert sessions.open_cookie(PEPPER, value.replace(".5000.", ".9000."), 0) is None
