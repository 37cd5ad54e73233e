"""The tables `[admin]` and `[admin.oidc]` of the configuration. A secret is named by file or variable."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dragoman.sentences import HTTP_ON_LOOPBACK, Sentence

OFF = "off"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
ENV_NAME = re.compile(r"^[A-Z_][A-Z0-9_]{0,127}$")
_HIGHEST_PORT = 65_535


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network. Raises ValueError that names the text and what is wrong with it."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as fault:
        raise ValueError(Sentence(str(fault), f"{text!r} 不是网段，例如 192.0.2.0/24")) from fault


class Allowed(_Closed):
    """Whom an identity provider may send: by its subject, a verified e-mail address, or a group."""

    role: Literal["operator", "auditor"]
    subject: str | None = Field(default=None, min_length=1, max_length=255)
    email: str | None = Field(default=None, min_length=3, max_length=254)
    group: str | None = Field(default=None, min_length=1, max_length=255)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.subject, self.email, self.group)) != 1:
            raise ValueError(
                Sentence("name one of subject, email, group", "subject、email、group 须写且只写一项")
            )
        return self


class Oidc(_Closed):
    """An identity provider that may log administrators in."""

    issuer: str
    client_id: str = Field(min_length=1, max_length=255)
    client_secret_env: str | None = None
    client_secret_file: Path | None = None
    scopes: tuple[str, ...] = ("openid", "email")
    hosts: tuple[str, ...] = ()
    """Further hosts where the issuer's discovery may place its token and key endpoints."""
    groups_claim: str = Field(default="groups", min_length=1, max_length=100)
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "EdDSA"], ...] = ("RS256", "ES256")
    allow: tuple[Allowed, ...] = ()
    session_minutes: int = Field(default=60, ge=5, le=1_440)
    """After so many minutes the provider has to let the person in again, on whatever page they are."""

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username or parts.query:
            raise ValueError(
                Sentence(
                    "write the issuer's whole address, for example https://login.example.org",
                    "请写签发方的完整网址，例如 https://login.example.org",
                )
            )
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError(HTTP_ON_LOOPBACK)
        return value

    @field_validator("client_secret_env")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        if value is not None and not ENV_NAME.match(value):
            raise ValueError(
                Sentence(
                    "give the NAME of an environment variable (A-Z, 0-9, _), not the secret itself",
                    "请写环境变量的名称（A-Z、0-9、_），不要写机密本身",
                )
            )
        return value

    @field_validator("scopes")
    @classmethod
    def _scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError(
                Sentence(
                    "the scopes of OpenID Connect include `openid`", "OpenID Connect 的 scopes 须含 `openid`"
                )
            )
        return value


class Admin(_Closed):
    """Control's own listener for administrators."""

    listen: str | None = None
    """None: loopback, the port after `zone.admin_listen`; `off`: no listener."""
    public_url: str | None = None
    """The origin people use. None: `http://localhost:PORT`, or `https://...` where TLS is set."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    session_idle_minutes: int = Field(default=30, ge=1, le=1_440)
    session_hours: int = Field(default=12, ge=1, le=168)
    abroad: Literal["deny", "record"] = "deny"
    """What a page with what people wrote, or what was decided of them, does for who asks from outside
    `zone.country`: refuse, or show it and record the transfer."""
    place_unknown: Literal["open", "abroad"] = "open"
    """Whether who asks from an address of unknown country counts as abroad."""
    metrics_token_file: Path | None = None
    """A file with a bearer token that reads `/metrics`; without a usable one in it nothing starts."""
    oidc: Oidc | None = None

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None or value == OFF:
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > _HIGHEST_PORT:
            raise ValueError(
                Sentence(
                    "write host:port, for example 127.0.0.1:9081, or off",
                    "请写 主机:端口，例如 127.0.0.1:9081，或写 off",
                )
            )
        return value

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value.rstrip("/"))
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path or parts.query:
            raise ValueError(
                Sentence(
                    "write an origin alone, for example https://admin.example.org",
                    "只写协议、主机与端口，例如 https://admin.example.org",
                )
            )
        if parts.scheme == "http" and parts.hostname != "localhost":
            raise ValueError(
                Sentence(
                    "http is for http://localhost:PORT alone; browsers give passkeys to https only",
                    "http 仅限 http://localhost:PORT；浏览器只在 https 下提供通行密钥",
                )
            )
        if _is_address(parts.hostname):
            raise ValueError(
                Sentence(
                    "passkeys need a host name; browsers refuse them on a bare address",
                    "通行密钥需要主机名；浏览器不接受单纯的 IP 地址",
                )
            )
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            network_of(one)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(Sentence("give tls_cert and tls_key together", "tls_cert 与 tls_key 须一并写明"))
        outside = self.listen not in {None, OFF} and (self.listen or "").rpartition(":")[0] not in LOOPBACK
        if outside and self.tls_cert is None and not self.trusted_proxies:
            raise ValueError(
                Sentence(
                    "an address other than loopback needs tls_cert and tls_key, or trusted_proxies in front",
                    "非本机回环地址须有 tls_cert 与 tls_key，或在前面设 trusted_proxies",
                )
            )
        if (outside or self.tls_cert or self.trusted_proxies) and self.public_url is None:
            raise ValueError(
                Sentence(
                    "set public_url: the origin at which people reach it, by host name",
                    "请写 public_url：人们访问时所用的网址，须为主机名",
                )
            )
        if (self.tls_cert or self.trusted_proxies) and not (self.public_url or "").startswith("https://"):
            raise ValueError(
                Sentence(
                    "public_url begins with https:// where TLS or a proxy stands in front",
                    "设有 TLS 或前置代理时，public_url 须以 https:// 开头",
                )
            )
        return self

    def anchored(self, at: Callable[[Path | None], Path | None]) -> Self:
        """The same with relative paths resolved."""
        paths = {name: at(getattr(self, name)) for name in ("tls_cert", "tls_key", "metrics_token_file")}
        oidc = self.oidc and self.oidc.model_copy(
            update={"client_secret_file": at(self.oidc.client_secret_file)}
        )
        return self.model_copy(update={**paths, "oidc": oidc})

    def address(self, relay_admin_listen: str) -> str | None:
        """host:port to listen on; None where it is off."""
        if self.listen == OFF:
            return None
        if self.listen is not None:
            return self.listen
        port = int(relay_admin_listen.rpartition(":")[2])
        return f"127.0.0.1:{port + 1 if 0 < port < _HIGHEST_PORT else 9081}"

    def origin(self, relay_admin_listen: str) -> str:
        """The origin, without a trailing slash."""
        address = self.address(relay_admin_listen) or ""
        return self.public_url or f"http://localhost:{address.rpartition(':')[2]}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
