"""One `dragoman.toml`, parsed once at the rim into a frozen tree.

Unknown keys are faults naming the nearest key; `DRAGOMAN_A__B` overrides `[a] b`; secrets by reference.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from dragoman.errors import ConfigError
from dragoman.sentences import Sentence, no_toml
from dragoman.settings_admin import LOOPBACK, Admin
from dragoman.settings_edge import Edge, check_public, public_host
from dragoman.settings_faults import built, unknown_overrides
from dragoman.settings_limits import Limit, Model, Price, Rate, Table
from dragoman.settings_operations import CrisisPlaces, LocalText, Log, Retention, Telemetry
from dragoman.settings_providers import Provider
from dragoman.settings_signup import Sms
from dragoman.settings_text import read_text
from dragoman.settings_zone import COUNTRY, OtherZone, Zone, check_transfers

DEFAULT_FILE = "dragoman.toml"
LOCAL_PROVIDER = "local"
LOCAL_MODEL = "dragoman"
LOCAL_UPSTREAM_MODEL = "dragoman-local"
LOCAL_OUTPUT_TOKENS = 4_096
"""LIMIT: tokens of one answer of the built-in model."""

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,95}$"


class Owner(Table):
    """Who owns a share of the operator."""

    country: str = Field(pattern=COUNTRY)
    percent: int = Field(ge=0, le=100)


class Evidence(Table):
    """A filing or registration the operator holds."""

    number: str = Field(min_length=1, max_length=200)
    expires: dt.date | None = None


class Deployment(Table):
    """The operator's own facts, as decisions read them."""

    name: str = "Dragoman"
    stage: Literal["local", "public"] = "local"
    seat: str | None = Field(default=None, pattern=COUNTRY)
    owners: tuple[Owner, ...] = ()
    roles: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    feature: str | None = None
    audience: Literal["public", "internal"] | None = None
    modality: tuple[str, ...] = ("text",)
    model_use: Literal["own", "fine_tuned", "api"] | None = None
    legal_basis: (
        Literal[
            "consent",
            "contract",
            "legal_obligation",
            "vital_interests",
            "public_task",
            "legitimate_interests",
        ]
        | None
    ) = None
    """Why the operator may process personal data (GDPR Art. 6(1)). None: unknown, which means more duties."""
    placed_on_market: dt.date | None = None
    evidence: dict[str, Evidence] = Field(default_factory=dict)
    counters: dict[str, int] = Field(default_factory=dict)
    """Numbers that laws count. Registered people of this zone it counts itself; the greater number stands."""
    data_locations: dict[str, str] = Field(default_factory=dict)
    contact: str | None = Field(default=None, max_length=300)
    """Where a person appeals: an address or URL printed in every refusal."""
    appeal_answer_days: int | None = Field(default=None, ge=1, le=365)
    """Days within which the operator states that it answers an appeal. None: no time is promised."""


class Label(Table):
    """The operator's own AI label on every answer; it names no law."""

    always: bool = True
    text: LocalText = LocalText(en="AI-generated", zh="AI 生成")


class Tenant(Table):
    """A tenant that must exist; created at start, never removed by its absence.

    `staff_...` is the operator's own word for the people behind the tenant's keys with `end_users = none`.
    """

    title: str | None = Field(default=None, min_length=1, max_length=200)
    """None: the tenant's name."""
    staff_residence: str | None = Field(default=None, pattern=COUNTRY)
    """All of them live there."""
    staff_adults: bool = False
    """All of them are at least 18 years old."""
    staff: int | None = Field(default=None, ge=1, le=1_000_000)
    """How many they are at the most. More people than that behind a key are told to the operator."""

    @field_validator("title")
    @classmethod
    def _shown(cls, value: str | None) -> str | None:
        if value is not None and not (value.strip() and value.isprintable()):
            raise ValueError(
                Sentence(
                    "holds something that can be seen, and no characters that cannot",
                    "须有可见内容，且不含不可见字符",
                )
            )
        return value


class Source(Table):
    """Documents with an owner, a licence and the jurisdictions they may be used in."""

    title: str | None = None
    owner: str = Field(min_length=1, max_length=200)
    licence: str = Field(min_length=1, max_length=200)
    jurisdictions: tuple[str, ...] = ("*",)
    trust: Literal["official", "operator", "community"] = "operator"
    tenant: str | None = None
    """The tenant whose documents these are; none: the default tenant."""
    readers: tuple[str, ...] = ()
    """`public`, or names of further tenants that may read them."""


class Journal(Table):
    """The relay's durable record."""

    folder: Path | None = None
    """Default: `journal` in the zone's data folder. Another one needs a restart."""


class Settings(BaseSettings):
    """The whole file, with its defaults."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="DRAGOMAN_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    deployment: Deployment = Deployment()
    zone: Zone = Zone()
    zones: dict[str, OtherZone] = Field(default_factory=dict)
    label: Label = Label()
    providers: dict[str, Provider] = Field(default_factory=dict)
    models: dict[str, Model] = Field(default_factory=dict)
    tenants: dict[str, Tenant] = Field(default_factory=dict)
    sources: dict[str, Source] = Field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    rates: tuple[Rate, ...] = ()
    prices: tuple[Price, ...] = ()
    rules: tuple[Path, ...] = ()
    packs_dir: Path | None = None
    packs_next: Path | None = None
    """A folder of folders like `packs_dir`: changed packs to try on the page of simulations."""
    journal: Journal = Journal()
    admin: Admin = Admin()
    edge: Edge = Edge()
    sms: Sms = Sms()
    log: Log = Log()
    telemetry: Telemetry = Telemetry()
    retention: Retention = Retention()
    crisis: CrisisPlaces = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file; nothing else is read."""
        env = EnvSettingsSource(
            settings_cls, env_prefix="DRAGOMAN_", env_nested_delimiter="__", env_ignore_empty=True
        )
        return (env, init_settings)

    @field_validator("providers")
    @classmethod
    def _with_local_provider(cls, value: dict[str, Provider]) -> dict[str, Provider]:
        _check_names(value)
        if value.get(LOCAL_PROVIDER, Provider(kind="local")).kind != "local":
            raise ValueError(
                Sentence(
                    "the provider name `local` is reserved for the built-in one; choose another name",
                    "供应商名称 `local` 为内置供应商保留，请另选名称",
                )
            )
        return {LOCAL_PROVIDER: Provider(kind="local"), **value}

    @field_validator("models")
    @classmethod
    def _with_local_model(cls, value: dict[str, Model]) -> dict[str, Model]:
        _check_names(value)
        local = Model(
            provider=LOCAL_PROVIDER, model=LOCAL_UPSTREAM_MODEL, max_output_tokens=LOCAL_OUTPUT_TOKENS
        )
        return {LOCAL_MODEL: local, **value}

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, model in self.models.items():
            if model.provider not in self.providers:
                raise ValueError(
                    Sentence(
                        f"models.{name}.provider: no provider is called {model.provider!r}",
                        f"models.{name}.provider：没有名为 {model.provider!r} 的供应商",
                    )
                )
            unknown = [other for other in model.fallbacks if other not in self.models or other == name]
            if unknown:
                told = ", ".join(unknown)
                raise ValueError(
                    Sentence(
                        f"models.{name}.fallbacks: not another model here: {told}",
                        f"models.{name}.fallbacks：不是此处的其他模型：{told}",
                    )
                )
        if strange := sorted(set(self.sms.models) - set(self.models)):
            told = ", ".join(strange)
            raise ValueError(
                Sentence(f"sms.models: no model is called {told}", f"sms.models：没有名为 {told} 的模型")
            )
        if self.zone.admin_listen.rpartition(":")[0] not in LOOPBACK:
            raise ValueError(
                Sentence(
                    "zone.admin_listen: the relay's numbers are read on loopback only",
                    "zone.admin_listen：中继的运行数据只在本机回环地址上提供",
                )
            )
        check_transfers(self.zone, self.destinations())
        check_public(self.deployment.stage, self.zone.listen, self.zone.public_url, self.edge)
        return self

    def destinations(self) -> dict[str, tuple[str, ...]]:
        """Where what people write may go, by setting: the countries stated; none: unknown."""
        found = {
            f"providers.{name}.countries": one.countries
            for name, one in self.providers.items()
            if one.base_url is not None
        }
        if self.sms.url is not None:
            found["sms.country"] = () if self.sms.country is None else (self.sms.country,)
        return found

    def hosts(self) -> tuple[str, ...]:
        """The Host values the relay accepts."""
        if self.zone.hosts:
            return self.zone.hosts
        if self.deployment.stage == "public":
            return (public_host(self.public_url()),)
        port = self.zone.listen.rpartition(":")[2]
        return (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}")

    def public_url(self) -> str:
        """The address printed for people, without a trailing slash."""
        scheme = "http" if self.edge.certificate is None else "https"
        return (self.zone.public_url or f"{scheme}://{self.zone.listen}").rstrip("/")


def _check_names(tables: Mapping[str, Any]) -> None:
    bad = [name for name in tables if not re.match(_NAME, name)]
    if bad:
        told = ", ".join(bad)
        raise ValueError(
            Sentence(
                f"names are letters, digits and . _ : / - (at most 96): {told}",
                f"名称只能含字母、数字及 . _ : / -（不超过 96 个）：{told}",
            )
        )


def find_file(given: Path | None) -> Path | None:
    """The file to read: the one given, `$DRAGOMAN_CONFIG`, `./dragoman.toml`, or None for the default."""
    if given is None and os.environ.get("DRAGOMAN_CONFIG"):
        given = Path(os.environ["DRAGOMAN_CONFIG"])
    if given is not None:
        if not given.is_file():
            raise ConfigError(
                [
                    Sentence(
                        f"{given}: there is no such file. "
                        "Leave --config out to run with the built-in default",
                        f"{given}：文件不存在。不写 --config 则使用内置默认配置",
                    )
                ]
            )
        return given.resolve()
    here = Path(DEFAULT_FILE)
    return here.resolve() if here.is_file() else None


def load(file: Path | None, text: str | None = None) -> Settings:
    """Parse and check a file (None: the default), or a text as if it stood there. Raises ConfigError.

    Relative paths in the result are resolved against the file's folder, or the working directory without one.
    """
    if text is None:
        text = "" if file is None else read_text(file)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([no_toml(file, error)]) from error
    if faults := unknown_overrides(Settings):
        raise ConfigError(faults)
    settings = built(Settings, tree, text, str(file or "environment"))
    return _anchored(settings, Path.cwd() if file is None else file.parent)


def _anchored(settings: Settings, root: Path) -> Settings:
    def at(path: Path | None) -> Path | None:
        return None if path is None else (root / path.expanduser()).resolve()

    providers = {n: p.model_copy(update={"key_file": at(p.key_file)}) for n, p in settings.providers.items()}
    zone = settings.zone.model_copy(update={"data": at(settings.zone.data)})
    folder = at(settings.journal.folder) or (root / settings.zone.data).resolve() / "journal"
    return settings.model_copy(
        update={
            "providers": providers,
            "zone": zone,
            "journal": settings.journal.model_copy(update={"folder": folder}),
            "rules": tuple(at(path) for path in settings.rules),
            "packs_dir": at(settings.packs_dir),
            "packs_next": at(settings.packs_next),
            "admin": settings.admin.anchored(at),
            "edge": settings.edge.anchored(at),
            "sms": settings.sms.anchored(at),
        }
    )
