"""What administrators are made of: people, their passkeys, links, sessions, machine tokens. No I/O here.

`stores.admins` keeps them, `admin` acts on them. Every verifier is a keyed hash; none is a credential.
"""

from __future__ import annotations

from dataclasses import dataclass

OPERATOR, AUDITOR, METRICS = "operator", "auditor", "metrics"
PERSON_ROLES = (OPERATOR, AUDITOR)
"""What a person may be: an operator acts, an auditor reads."""
TOKEN_ROLES = (OPERATOR, AUDITOR, METRICS)
"""What a machine's token may be; `metrics` reads the counters and nothing else."""


FIRST_START = "start"
"""Who made the link that a start prints while nobody can log in."""


@dataclass(frozen=True, slots=True)
class AdminRecord:
    """A person. `state`: active or removed; `subject`: issuer and subject at an identity provider."""

    admin: str
    name: str
    role: str
    state: str
    subject: str | None
    created_at: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class PasskeyRecord:
    """A passkey of a person; `credential` and `public_key` are base64url, times ms UTC."""

    passkey: str
    admin: str
    credential: str
    public_key: str
    sign_count: int
    title: str
    created_at: int
    used_at: int | None


@dataclass(frozen=True, slots=True)
class InviteRecord:
    """A one-time link: for a new person (`admin` is None) or to let a known one in again."""

    invite: str
    verifier: str
    admin: str | None
    name: str
    role: str
    by: str
    created_at: int
    expires_at: int
    used_at: int | None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A log-in. `method`: passkey or oidc; `fresh_at`: when the person last proved to be there."""

    session: str
    verifier: str
    admin: str
    method: str
    created_at: int
    seen_at: int
    fresh_at: int


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A machine's bearer token."""

    token: str
    verifier: str
    title: str
    role: str
    by: str
    created_at: int
    expires_at: int
    revoked_at: int | None
