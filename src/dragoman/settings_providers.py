"""`[providers.*]`: where turns may go, how long it may take, and what passes to it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from dragoman.caller_fields import may_pass
from dragoman.sentences import HTTP_ON_LOOPBACK, NAME_OF_KEY, ONE_KEY, Sentence
from dragoman.settings_admin import ENV_NAME, LOOPBACK
from dragoman.settings_limits import Table
from dragoman.settings_zone import codes


class Deadlines(Table):
    """Milliseconds a provider may take."""

    connect: int = Field(default=5_000, ge=1, le=60_000)
    first_byte: int = Field(default=60_000, ge=1, le=1_800_000)
    idle: int = Field(default=120_000, ge=1, le=1_800_000)
    total: int = Field(default=1_800_000, ge=1, le=1_800_000)


class Provider(Table):
    """Where turns may go. `pack` names the provider pack whose terms apply; none means self-hosted."""

    kind: Literal["local", "openai"] = "openai"
    pack: str | None = None
    countries: tuple[str, ...] = ()
    """Where it processes what it is sent. None named: unknown."""
    base_url: str | None = None
    key_env: str | None = None
    key_file: Path | None = None
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    headers: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    unknown_fields: Literal["reject", "pass"] = "reject"
    output_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    """The field in which a chat asks for at most so many tokens; None: as the catalogue says of the host."""
    deadlines_ms: Deadlines = Deadlines()

    @field_validator("key_env")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        if value is not None and not ENV_NAME.match(value):
            raise ValueError(NAME_OF_KEY)
        return value

    @field_validator("headers")
    @classmethod
    def _passed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        bad = [name for name in value if not may_pass(name)]
        if bad:
            names = ", ".join(bad)
            raise ValueError(
                Sentence(
                    f"these never go from a caller to a provider: {names}",
                    f"下列标头不会由调用方传给供应商：{names}",
                )
            )
        return value

    @field_validator("countries")
    @classmethod
    def _countries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return codes(value)

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return None if value is None else _checked_url(value)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "openai" and self.base_url is None:
            raise ValueError(
                Sentence(
                    "a provider of kind openai needs base_url, for example https://host/v1",
                    "类型为 openai 的供应商须写 base_url，例如 https://host/v1",
                )
            )
        if self.key_env is not None and self.key_file is not None:
            raise ValueError(ONE_KEY)
        return self


def _checked_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(
            Sentence("write a whole URL, for example https://host/v1", "请写完整网址，例如 https://host/v1")
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            Sentence(
                "a base URL carries no credentials, query or fragment; give the key by key_env or key_file",
                "网址中不得含凭据、查询参数或片段；密钥请用 key_env 或 key_file 给出",
            )
        )
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError(HTTP_ON_LOOPBACK)
    return value.rstrip("/")
