"""A fake OpenID provider: discovery, keys that rotate, codes with PKCE, and tokens that lie when told to.

Serve `app` anywhere, or give `transport()` to what fetches. It logs everybody in who asks, as `claims` say.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from dragoman.testing.ports import free_port

KEY_BITS = 2048


@contextmanager
def served_oidc() -> Iterator[FakeOidc]:
    """An issuer on a port of this machine."""
    port = free_port()
    fake = FakeOidc(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(uvicorn.Config(fake.app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(30)


class FakeOidc:
    """One issuer. `claims` go into every token; a value of None leaves a claim out."""

    def __init__(self, issuer: str, client_id: str = "dragoman", client_secret: str | None = None) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self.client_secret = client_secret
        self.claims: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self.unsigned = False
        self.stranger = False
        """Sign with a key that is not published."""
        self.asked: list[dict[str, str]] = []
        self.fetched: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._key = _new_key()
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._configuration),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    def transport(self) -> httpx.ASGITransport:
        """Reaches this provider without a network."""
        return httpx.ASGITransport(app=self.app)

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish that alone."""
        self._key = _new_key()

    def allow(self, url: str) -> str:
        """What a browser at the authorization endpoint is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.asked.append(asked)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.issuer}
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def token(self, nonce: str | None, *, confirmed: bool = False) -> str:
        """An ID token as the switches say."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": "user-1",
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "email": "li@example.org",
            "email_verified": True,
            "name": "Li Wei",
            **({"auth_time": now} if confirmed else {}),
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.unsigned:
            parts = ({"alg": "none", "kid": self._key.kid}, claims)
            return ".".join([*(_encoded(json.dumps(part).encode()) for part in parts), ""])
        key = _new_key() if self.stranger else self._key
        return jwt.encode({"alg": "RS256", "kid": self._key.kid}, claims, key)

    def hmac_token(self, nonce: str | None) -> str:
        """A token signed with the published key taken for a shared secret."""
        public = json.dumps(self._key.as_dict(private=False), sort_keys=True).encode()
        head = {"alg": "HS256", "kid": self._key.kid}
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "user-1", "aud": self.client_id, "iat": now, "exp": now + 300}
        return jwt.encode(head, {**claims, "nonce": nonce}, OctKey.import_key(public))

    async def _configuration(self, _request: Request) -> Response:
        self.fetched.append("discovery")
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
        }
        return JSONResponse({**document, **self.discovery})

    async def _keys(self, _request: Request) -> Response:
        self.fetched.append("keys")
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        return RedirectResponse(self.allow(str(request.url)), 303)

    async def _token(self, request: Request) -> Response:
        self.fetched.append("token")
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = _encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or asked["code_challenge"] != challenge or not self._is_client(request):
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = self.token(asked.get("nonce"), confirmed="max_age" in asked)
        return JSONResponse({"id_token": token, "access_token": "unused", "token_type": "Bearer"})

    def _is_client(self, request: Request) -> bool:
        if self.client_secret is None:
            return True
        wanted = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {wanted}"


def _new_key() -> RSAKey:
    return RSAKey.generate_key(KEY_BITS, {"use": "sig", "alg": "RS256"}, auto_kid=True)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
