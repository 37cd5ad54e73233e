"""Passkeys: WebAuthn ceremonies by the library, bound to our origin and host name, with the user verified.

A challenge is made here and answered once; nothing of an authenticator but its public key is kept.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from dragoman.admin.people import NewPasskey
from dragoman.core.admins import PasskeyRecord

CHALLENGE_BYTES = 32
TIMEOUT_MS = 120_000
"""How long a browser lets its user choose."""
_MALFORMED = (WebAuthnException, ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What the library raises for an answer that an authenticator never made."""


class BadPasskeyError(Exception):
    """An authenticator's answer that does not count."""


@dataclass(frozen=True)
class Ceremonies:
    """Both ceremonies at one origin."""

    origin: str
    name: str

    @property
    def host(self) -> str:
        """The host name that passkeys are bound to."""
        return urlsplit(self.origin).hostname or ""

    def creation(
        self, admin: str, shown: str, held: Sequence[PasskeyRecord]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options for the browser, and what must be remembered until its answer."""
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        options = generate_registration_options(
            rp_id=self.host,
            rp_name=self.name,
            user_id=handle(admin),
            user_name=shown,
            challenge=challenge,
            timeout=TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_described(held),
        )
        return json.loads(options_to_json(options)), {"challenge": challenge, "admin": admin}

    def created(self, answer: Mapping[str, Any], challenge: bytes, title: str) -> NewPasskey:
        """The passkey made for a challenge. Raises BadPasskeyError."""
        try:
            made = verify_registration_response(
                credential=dict(answer),
                expected_challenge=challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        except _MALFORMED as fault:
            raise BadPasskeyError(type(fault).__name__) from fault
        return NewPasskey(
            bytes_to_base64url(made.credential_id),
            bytes_to_base64url(made.credential_public_key),
            made.sign_count,
            title,
        )

    def request(self, held: Sequence[PasskeyRecord] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options for the browser (any passkey of this host, or one of those held), and what to remember."""
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        options = generate_authentication_options(
            rp_id=self.host,
            challenge=challenge,
            timeout=TIMEOUT_MS,
            allow_credentials=_described(held),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return json.loads(options_to_json(options)), {"challenge": challenge}

    def proved(self, answer: Mapping[str, Any], challenge: bytes, known: PasskeyRecord) -> PasskeyRecord:
        """The passkey with the sign count just seen. Raises BadPasskeyError."""
        said = answer.get("response")
        user = said.get("userHandle") if isinstance(said, Mapping) else None
        if user is not None and user != bytes_to_base64url(handle(known.admin)):
            raise BadPasskeyError("userHandle")
        try:
            seen = verify_authentication_response(
                credential=dict(answer),
                expected_challenge=challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                credential_public_key=base64url_to_bytes(known.public_key),
                credential_current_sign_count=known.sign_count,
                require_user_verification=True,
            )
        except _MALFORMED as fault:
            raise BadPasskeyError(type(fault).__name__) from fault
        return replace(known, sign_count=seen.new_sign_count)


def handle(admin: str) -> bytes:
    """What an authenticator keeps of a person: an opaque digest of the id."""
    return hashlib.sha256(f"dragoman admin {admin}".encode()).digest()


def _described(held: Sequence[PasskeyRecord]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one.credential)) for one in held]
