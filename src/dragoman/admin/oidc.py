"""OpenID Connect: authorization code with PKCE, state and nonce, at the one issuer that is configured.

Keys and endpoints come from the issuer's discovery; nothing that a caller names is ever fetched. Whoever is
not on the allow-list does not come in, however well the token is signed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import httpx

from dragoman.ids import now_ms
from dragoman.settings_admin import LOOPBACK, Allowed, Oidc

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

CALLBACK = "/login/oidc/callback"
TIMEOUT_S = 5.0
"""LIMIT: seconds that one request to the issuer may take."""
ANSWER_BYTES = 256 << 10
"""LIMIT: bytes of one answer of the issuer."""
DISCOVERY_S = 3_600
"""How long discovery and keys are used before they are asked for again."""
ROTATION_S = 30
"""LIMIT: keys are asked for again for an unknown key id at most this often."""
LEEWAY_S = 60
"""How far the issuer's clock may be off."""
TOKEN_AGE_S = 600
"""LIMIT: seconds since a token was issued."""


class OidcError(Exception):
    """The provider's answer does not count; the message is for the log, and holds no value of it."""


class OidcSilentError(OidcError):
    """The provider cannot be reached, or says what nobody can use."""


@dataclass(frozen=True)
class Asked:
    """A log-in on its way: where the browser goes, and what must come back."""

    url: str
    remember: dict[str, Any]


@dataclass(frozen=True)
class Came:
    """Whom the provider let in, by its word and our allow-list."""

    subject: str
    name: str
    role: str
    proved_at: int
    """When the person proved to be there, ms UTC; 0 where the provider does not say."""


class Provider:
    """The configured identity provider."""

    def __init__(
        self,
        settings: Oidc,
        origin: str,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._settings = settings
        self._redirect = origin + CALLBACK
        self._transport = transport
        self._clock = clock
        self._lock = asyncio.Lock()
        self._discovery: Mapping[str, Any] = {}
        self._discovered = -DISCOVERY_S
        self._keys: KeySet | None = None
        self._keys_at = -DISCOVERY_S

    async def ask(self, *, confirm: bool) -> Asked:
        """Where to send the browser. `confirm`: the person must prove to be there, now."""
        discovery = await self._endpoints()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._redirect,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
            **({"prompt": "login", "max_age": "0"} if confirm else {}),
        }
        url = str(discovery["authorization_endpoint"])
        remember = {"state": state, "nonce": nonce, "verifier": verifier, "confirm": confirm}
        return Asked(f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}", remember)

    async def came(self, query: Mapping[str, str], remembered: Mapping[str, Any]) -> Came:
        """Whom the callback brings. Raises OidcError for anything that is not exactly as asked."""
        state = query.get("state", "").encode()
        if not secrets.compare_digest(state, str(remembered["state"]).encode()):
            raise OidcError("state")
        if query.get("iss", self._settings.issuer) != self._settings.issuer:
            raise OidcError("iss of the callback")
        if "error" in query or not query.get("code"):
            raise OidcError("the provider refused")
        token = await self._exchange(query["code"], str(remembered["verifier"]))
        claims = await self._verified(token)
        self._check(claims, str(remembered["nonce"]), confirm=bool(remembered["confirm"]))
        role = self._role(claims)
        if role is None:
            raise OidcError("not on the allow-list")
        said = claims.get("name") or claims.get("email") or "oidc"
        shown = "".join(c for c in str(said) if c.isprintable())[:80] or "oidc"
        proved = claims.get("auth_time")
        at = min(int(proved) * 1000, self._clock()) if proved is not None and _is_time(proved) else 0
        return Came(f"{self._settings.issuer} {claims['sub']}", shown, role, at)

    async def _exchange(self, code: str, verifier: str) -> str:
        discovery = await self._endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": verifier,
            "client_id": self._settings.client_id,
        }
        secret = await asyncio.to_thread(self._secret)
        methods = discovery.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        auth = None
        if secret is not None and "client_secret_basic" in methods:
            auth = httpx.BasicAuth(_quoted(self._settings.client_id), _quoted(secret))
        elif secret is not None:
            form["client_secret"] = secret
        answer = await self._fetch("POST", str(discovery["token_endpoint"]), form, auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcError("no id_token")
        return token

    async def _verified(self, token: str) -> dict[str, Any]:
        from joserfc import jwt  # noqa: PLC0415 - loaded when somebody comes in
        from joserfc.errors import JoseError  # noqa: PLC0415 - as above

        keys = await self._key_set(again=False)
        if not _names_a_key(token, keys):
            keys = await self._key_set(again=True)
        if not _names_a_key(token, keys):
            raise OidcError("a key that the issuer does not publish")
        try:
            return dict(jwt.decode(token, keys, algorithms=list(self._settings.algorithms)).claims)
        except (JoseError, ValueError, TypeError) as fault:
            raise OidcError(f"signature: {type(fault).__name__}") from fault

    def _check(self, claims: Mapping[str, Any], nonce: str, *, confirm: bool) -> None:
        now = self._clock() // 1000
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        client = self._settings.client_id
        if claims.get("iss") != self._settings.issuer:
            raise OidcError("iss")
        if not isinstance(audiences, list) or client not in audiences:
            raise OidcError("aud")
        if claims.get("azp", client if len(audiences) == 1 else None) != client:
            raise OidcError("azp")
        if not _is_time(claims.get("exp")) or claims["exp"] <= now - LEEWAY_S:
            raise OidcError("exp")
        if not _is_time(claims.get("iat")) or abs(now - claims["iat"]) > TOKEN_AGE_S:
            raise OidcError("iat")
        if _is_time(claims.get("nbf")) and claims["nbf"] > now + LEEWAY_S:
            raise OidcError("nbf")
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise OidcError("nonce")
        if not isinstance(claims.get("sub"), str) or not 1 <= len(claims["sub"]) <= 255:
            raise OidcError("sub")
        if confirm and not (
            _is_time(claims.get("auth_time")) and 0 <= now + LEEWAY_S - claims["auth_time"] <= 300
        ):
            raise OidcError("auth_time")

    def _role(self, claims: Mapping[str, Any]) -> str | None:
        """The role of the first line of the allow-list that fits."""
        groups = claims.get(self._settings.groups_claim)
        groups = groups if isinstance(groups, list) else []
        mail = claims.get("email") if claims.get("email_verified") is True else None
        return next((one.role for one in self._settings.allow if _fits(one, claims, mail, groups)), None)

    async def _endpoints(self) -> Mapping[str, Any]:
        async with self._lock:
            if self._age(self._discovered) < DISCOVERY_S and self._discovery:
                return self._discovery
            issuer = self._settings.issuer
            found = await self._fetch("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != issuer:
                raise OidcError("issuer of the discovery")
            self._place(found.get("authorization_endpoint"), anywhere=True)
            self._place(found.get("token_endpoint"))
            self._place(found.get("jwks_uri"))
            self._discovery, self._discovered = found, self._now()
            return found

    async def _key_set(self, *, again: bool) -> KeySet:
        from joserfc.errors import JoseError  # noqa: PLC0415 - as above
        from joserfc.jwk import KeySet  # noqa: PLC0415 - as above

        discovery = await self._endpoints()
        async with self._lock:
            if self._keys is None or self._age(self._keys_at) >= (ROTATION_S if again else DISCOVERY_S):
                found = await self._fetch("GET", str(discovery["jwks_uri"]))
                try:
                    self._keys = KeySet.import_key_set({"keys": found["keys"]})
                except (JoseError, ValueError, TypeError, KeyError) as fault:
                    raise OidcError(f"keys: {type(fault).__name__}") from fault
                self._keys_at = self._now()
            return self._keys

    def _place(self, url: Any, *, anywhere: bool = False) -> None:
        """Refuse an endpoint without TLS, or one to fetch that is on no host we were told of."""
        parts = urlsplit(url) if isinstance(url, str) else None
        issuer = urlsplit(self._settings.issuer)
        if parts is None or (parts.scheme != "https" and parts.hostname not in LOOPBACK):
            raise OidcError("an endpoint of the discovery is not https")
        if parts.scheme not in {issuer.scheme, "https"}:
            raise OidcError("an endpoint of the discovery is not https")
        if not anywhere and parts.hostname not in {issuer.hostname, *self._settings.hosts}:
            raise OidcError("an endpoint of the discovery is on another host; name it in admin.oidc.hosts")

    async def _fetch(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        auth: httpx.BasicAuth | None = None,
    ) -> dict[str, Any]:
        """A JSON object of the issuer, bounded in bytes and time, without redirects."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                raw = await self._bytes(method, url, form, auth)
            found = json.loads(raw)
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as fault:
            raise OidcSilentError(type(fault).__name__) from fault
        if not isinstance(found, dict):
            raise OidcError("the issuer's answer is no object")
        return found

    async def _bytes(
        self, method: str, url: str, form: Mapping[str, str] | None, auth: httpx.BasicAuth | None
    ) -> bytes:
        # A client for each request: log-ins are rare, and nothing stays open between them.
        client = httpx.AsyncClient(
            transport=self._transport, trust_env=False, follow_redirects=False, timeout=TIMEOUT_S
        )
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        raw = bytearray()
        async with client, client.stream(method, url, data=form, auth=auth, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                raise OidcSilentError(f"status {answer.status_code}")
            async for part in answer.aiter_raw():
                raw += part
                if len(raw) > ANSWER_BYTES:
                    raise OidcError("the issuer's answer is too large")
        return bytes(raw)

    def _secret(self) -> str | None:
        if self._settings.client_secret_env is not None:
            return os.environ.get(self._settings.client_secret_env, "")
        file = self._settings.client_secret_file
        if file is None:
            return None
        try:
            return file.read_text(encoding="utf-8").strip()
        except OSError as fault:
            raise OidcError("client_secret_file cannot be read") from fault

    def _now(self) -> int:
        return self._clock() // 1000

    def _age(self, at: int) -> int:
        age = self._now() - at
        return age if age >= 0 else DISCOVERY_S


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _quoted(text: str) -> str:
    return urlencode({"": text})[1:]


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(one: Allowed, claims: Mapping[str, Any], mail: Any, groups: list[Any]) -> bool:
    if one.subject is not None:
        return claims.get("sub") == one.subject
    if one.email is not None:
        return isinstance(mail, str) and mail.lower() == one.email.lower()
    return one.group in groups


def _names_a_key(token: str, keys: KeySet) -> bool:
    """Whether the token's head names one of the keys; without a name there must be exactly one key."""
    head = token.split(".", 1)[0]
    try:
        said = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return False
    if not isinstance(said, dict):
        return False
    name = said.get("kid")
    return len(keys.keys) == 1 if name is None else any(key.kid == name for key in keys.keys)
