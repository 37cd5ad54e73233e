"""The table `[edge]` of the configuration: how the public port meets a network that is not this machine.

It names files and networks; it reads none. What has to be there before a port opens is checked here as far as
the file says it, in `control/public_gate.py` for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dragoman.sentences import Sentence
from dragoman.settings_admin import LOOPBACK, network_of

GUEST_DAYS_LEAST = 7
"""LIMIT: a guest's cookie lives as long; nobody is forgotten before."""
MAX_FILES = 8
"""LIMIT: address files."""
MAX_PER_MINUTE = 1_000_000_000
"""LIMIT: the most a rate of a client may be; in effect none."""


class Edge(BaseModel):
    """TLS, trusted proxies, address files, guests of stage `public`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path | None = None
    """PEM, the chain after the certificate; a changed file is taken without a restart."""
    key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose word about the client counts."""
    proxy_protocol: bool = False
    """Every connection begins with a PROXY header of version 2; without this, none may."""
    address_files: tuple[Path, ...] = Field(default=(), max_length=MAX_FILES)
    """MMDB files that say where an address is and of what kind."""
    guest_turns: int = Field(default=16, ge=0, le=10_000)
    """Turns that all guests together may have open, in stage `public`."""
    guest_turns_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    guest_days: int = Field(default=30, ge=GUEST_DAYS_LEAST, le=3_650)
    """Days after its first question after which a guest who owns nothing that is kept is forgotten."""
    failed_credentials_per_minute: int = Field(default=300, ge=1, le=MAX_PER_MINUTE)
    """Credentials from one address that are refused; only failures count."""
    address_requests_per_minute: int = Field(default=6_000, ge=1, le=MAX_PER_MINUTE)
    """Requests from one address that are no turns: pages, lists, exports."""
    requests_per_minute: int = Field(default=1_200, ge=1, le=MAX_PER_MINUTE)
    """The same of one key, guest or end user."""
    refused_turns_per_minute: int = Field(default=120, ge=1, le=MAX_PER_MINUTE)
    """Refused turns of one key, guest or end user that are recorded; further ones are refused unrecorded."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            network = network_of(one)
            if network.prefixlen == 0:
                raise ValueError(
                    Sentence(
                        f"{one} trusts everybody; name the networks of your proxies alone",
                        f"{one} 等于信任所有人；请只写自己代理所在的网段",
                    )
                )
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(Sentence("give certificate and key together", "certificate 与 key 须一并写明"))
        if self.proxy_protocol and not self.trusted_proxies:
            raise ValueError(
                Sentence(
                    "proxy_protocol needs trusted_proxies: only those may speak it",
                    "proxy_protocol 须有 trusted_proxies：只有这些代理可以使用该协议",
                )
            )
        return self

    def anchored(self, at: Callable[[Path | None], Path | None]) -> Self:
        """The same with relative paths resolved."""
        files = tuple(path for path in map(at, self.address_files) if path is not None)
        return self.model_copy(
            update={"certificate": at(self.certificate), "key": at(self.key), "address_files": files}
        )


def public_gaps(stage: str, public_url: str | None, edge: Edge) -> dict[str, Sentence]:
    """What the file lacks for a public address, by key: what to write there."""
    gaps: dict[str, Sentence] = {}
    if stage != "public":
        said = 'deployment.stage = "public"'
        gaps["deployment.stage"] = Sentence(said, said)
    if edge.certificate is None and not edge.trusted_proxies:
        gaps["edge.certificate"] = Sentence(
            "edge.certificate and edge.key, or edge.trusted_proxies for a proxy that speaks TLS in front",
            "edge.certificate 与 edge.key，或为前置 TLS 代理设 edge.trusted_proxies",
        )
    if urlsplit(public_url or "").scheme != "https":
        gaps["zone.public_url"] = Sentence(
            'zone.public_url = "https://the-name-people-use"', 'zone.public_url = "https://对外使用的主机名"'
        )
    return gaps


def check_public(stage: str, listen: str, public_url: str | None, edge: Edge) -> None:
    """Raise ValueError naming every condition of a public address that the file does not meet."""
    outside = listen.rpartition(":")[0] not in LOOPBACK
    if stage == "local" and not outside:
        if edge.trusted_proxies:
            raise ValueError(
                Sentence(
                    "edge.trusted_proxies: stage local answers no forwarded request; "
                    'set deployment.stage = "public"',
                    'edge.trusted_proxies：local 阶段不回答转发的请求；请设 deployment.stage = "public"',
                )
            )
        return
    missing = list(public_gaps(stage, public_url, edge).values())
    if missing:
        raise ValueError(
            Sentence(
                f"to listen on {listen} in stage {stage}, set {'; and '.join(missing)}. "
                "An administrator has to exist as well: see docs/edge.md",
                f"在 {stage} 阶段监听 {listen}，须设：{'；'.join(one.zh for one in missing)}。"
                "此外须已有管理员，见 docs/edge.md",
            )
        )


def public_host(public_url: str) -> str:
    """The `Host` that browsers send for an address."""
    parts = urlsplit(public_url)
    port = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return parts.netloc.lower().removesuffix(port) if port else parts.netloc.lower()
