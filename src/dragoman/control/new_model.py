"""The one way in which a model is added: provider, edits of the file, where it may be offered, a trial.

`dragoman models add` and the form of the setup pages both take it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dragoman.admin.setup_desk import NewModel
from dragoman.control.offers import Offers, where_offered
from dragoman.decide.packs import PackSet
from dragoman.errors import ConfigError, RefusedError
from dragoman.ids import now_ms
from dragoman.policy.duties import means_of
from dragoman.policy.rules import load_rules
from dragoman.providers.catalogue import load_catalogue, output_field_of, pack_of
from dragoman.providers.provider_key import NoKeyError
from dragoman.providers.trial import Trial, try_turn
from dragoman.sentences import by_value
from dragoman.settings import Settings
from dragoman.settings_edit import Edit
from dragoman.settings_faults import explain
from dragoman.settings_providers import Provider


@dataclass(frozen=True)
class Addition:
    """What adding a model comes to. `pack`: whose terms apply; None: self-hosted."""

    pack: str | None
    edits: list[Edit]
    offers: Offers


def provider_of(new: NewModel) -> Provider:
    """The model's provider, with the pack whose terms apply. Raises RefusedError or ConfigError."""
    file = Path(new.key_file) if new.key_file else None
    try:
        provider = Provider(base_url=new.base_url, key_env=new.key_env, key_file=file, pack=new.pack)
    except ValidationError as fault:
        raise ConfigError(explain(fault, Provider, "", f"providers.{new.name}")) from fault
    try:
        return provider.model_copy(update={"pack": pack_of(provider, load_catalogue())})
    except ValueError as fault:
        said = by_value(fault)
        raise wrong("pack", f"{said}.", f"{said.zh}。") from fault


def addition(new: NewModel, provider: Provider, settings: Settings, packs: PackSet) -> Addition:
    """The edits, and the territories by what a decision there says. Raises RefusedError for the field."""
    if new.name in settings.models or new.name in settings.providers:
        said = "A model or provider of this name exists; choose another."
        raise wrong("model_name", said, "已有同名的模型或供应商，请另选名称。")
    known = sorted(packs.providers())
    if provider.pack is not None and provider.pack not in known:
        said = f"No provider pack is called {provider.pack}; known: {', '.join(known)}."
        raise wrong("pack", said, f"没有名为 {provider.pack} 的供应商规则包；现有：{'、'.join(known)}。")
    edits = _edits(new, provider)
    if new.price is not None:
        edits.append(Edit(("prices",), dict(new.price), append=True))
    means = means_of(settings, load_rules(settings.rules), packs)
    offers = where_offered(provider.pack, packs, settings.deployment, now_ms(), means)
    return Addition(provider.pack, edits, offers)


def tried(new: NewModel, provider: Provider, read_key: Callable[[], str | None]) -> Trial:
    """One question to the model; it is not asked where no key can be read."""
    try:
        key = read_key()
    except NoKeyError as fault:
        return Trial(False, None, 0, None, f"no key can be read: {fault}", "no_key")
    field = output_field_of(provider, load_catalogue())
    return try_turn(str(provider.base_url), new.upstream, key, field)


def wrong(field: str, en: str, zh: str) -> RefusedError:
    """What is wrong with a field."""
    return RefusedError(400, "invalid_value", {"en": en, "zh": zh}, param=field)


def _edits(new: NewModel, provider: Provider) -> list[Edit]:
    """The model, and the provider of the same name."""
    tables: dict[tuple[str, str], dict[str, str | None]] = {
        ("providers", new.name): {
            "base_url": provider.base_url,
            "key_env": provider.key_env,
            "key_file": None if provider.key_file is None else str(provider.key_file),
            "pack": provider.pack,
        },
        ("models", new.name): {"provider": new.name, "model": new.upstream},
    }
    return [
        Edit((*path, key), value)
        for path, rows in tables.items()
        for key, value in rows.items()
        if value is not None
    ]
