"""Passkeys: WebAuthn ceremonies by the library, bound to our origin and host name, with the user verified.

A challenge is made here and answered once; nothing of an authenticator but its public key is kept. The
library is loaded when somebody comes in, not at start: it takes a tenth of one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dragoman.admin.people import NewPasskey
from dragoman.core.admins import PasskeyRecord

if TYPE_CHECKING:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

CHALLENGE_BYTES = 32
TIMEOUT_MS = 120_000
"""How long a browser lets its user choose."""
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What the library raises, besides its own error, for an answer that an authenticator never made."""


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
        from webauthn import generate_registration_options, options_to_json  # noqa: PLC0415 - see above
        from webauthn.helpers import structs  # noqa: PLC0415 - see above

        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        options = generate_registration_options(
            rp_id=self.host,
            rp_name=self.name,
            user_id=handle(admin),
            user_name=shown,
            challenge=challenge,
            timeout=TIMEOUT_MS,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.REQUIRED,
                user_verification=structs.UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_described(held),
        )
        return json.loads(options_to_json(options)), {"challenge": challenge, "admin": admin}

    def created(self, answer: Mapping[str, Any], challenge: bytes, title: str) -> NewPasskey:
        """The passkey made for a challenge. Raises BadPasskeyError."""
        from webauthn import verify_registration_response  # noqa: PLC0415 - see above
        from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415 - see above

        try:
            made = verify_registration_response(
                credential=dict(answer),
                expected_challenge=challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        except (WebAuthnException, *_MALFORMED) as fault:
            raise BadPasskeyError(type(fault).__name__) from fault
        return NewPasskey(
            _encoded(made.credential_id),
            _encoded(made.credential_public_key),
            made.sign_count,
            title,
        )

    def request(self, held: Sequence[PasskeyRecord] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options for the browser (any passkey of this host, or one of those held), and what to remember."""
        from webauthn import generate_authentication_options, options_to_json  # noqa: PLC0415 - see above
        from webauthn.helpers import structs  # noqa: PLC0415 - see above

        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        options = generate_authentication_options(
            rp_id=self.host,
            challenge=challenge,
            timeout=TIMEOUT_MS,
            allow_credentials=_described(held),
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        )
        return json.loads(options_to_json(options)), {"challenge": challenge}

    def proved(self, answer: Mapping[str, Any], challenge: bytes, known: PasskeyRecord) -> PasskeyRecord:
        """The passkey with the sign count just seen. Raises BadPasskeyError."""
        from webauthn import verify_authentication_response  # noqa: PLC0415 - see above
        from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415 - see above

        said = answer.get("response")
        user = said.get("userHandle") if isinstance(said, Mapping) else None
        if user is not None and user != _encoded(handle(known.admin)):
            raise BadPasskeyError("userHandle")
        try:
            seen = verify_authentication_response(
                credential=dict(answer),
                expected_challenge=challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                credential_public_key=_decoded(known.public_key),
                credential_current_sign_count=known.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, *_MALFORMED) as fault:
            raise BadPasskeyError(type(fault).__name__) from fault
        return replace(known, sign_count=seen.new_sign_count)


def handle(admin: str) -> bytes:
    """What an authenticator keeps of a person: an opaque digest of the id."""
    return hashlib.sha256(f"dragoman admin {admin}".encode()).digest()


def _described(held: Sequence[PasskeyRecord]) -> list[PublicKeyCredentialDescriptor]:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor  # noqa: PLC0415 - see above

    return [PublicKeyCredentialDescriptor(id=_decoded(one.credential)) for one in held]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
