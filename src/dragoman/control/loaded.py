"""Everything read from files, checked together and frozen.

A reload makes a new `Loaded` or raises; the holder swaps it in one step: no decision sees half of one.
"""

from __future__ import annotations

import difflib
import os
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from dragoman.budgets.book import doubled
from dragoman.budgets.bounds import faults
from dragoman.control.relay_config import relay_config
from dragoman.control.telemetry import check as check_telemetry
from dragoman.decide.packs import PackSet, load_packs
from dragoman.decide.schema import PackError
from dragoman.decide.world import Offer, World
from dragoman.errors import ConfigError
from dragoman.ids import now_ms
from dragoman.policy.crisis import with_referrals
from dragoman.policy.duties import Means, means_of
from dragoman.policy.retention import contradictions
from dragoman.policy.rules import Compile, Rule, RuleSet, load_rules, rule_set
from dragoman.providers.catalogue import load_catalogue, output_field_of, pack_of
from dragoman.providers.prices import PriceBook, load_shipped
from dragoman.sentences import Sentence, by_value, nearest
from dragoman.settings import DEFAULT_FILE, Deployment, Settings, load
from dragoman.settings_limits import Limit, Rate
from dragoman.settings_providers import Provider

RULESETS_KEPT = 16
"""LIMIT: rule sets kept for turns that run on an older one."""


@dataclass(frozen=True)
class Attempt:
    """One way to carry a turn: a provider, the model's name there, its bounds."""

    provider: str
    model: str
    max_output_tokens: int | None = None
    max_input_tokens: int | None = None
    output_field: str = "max_tokens"


@dataclass(frozen=True)
class Loaded:
    """One consistent reading of the files. `attempts`: per model name, in order of preference."""

    file: Path | None
    settings: Settings
    packs: PackSet
    world: World
    attempts: dict[str, tuple[Attempt, ...]]
    territory: frozenset[str]
    """Providers whose pack has terms about places: they accept no merely declared or simulated users."""
    rules: RuleSet
    means: Means
    prices: PriceBook
    relay: dict[str, Any]

    @property
    def config_digest(self) -> str:
        """The digest of the relay's configuration."""
        return str(self.relay["digest"])

    def ruleset_digests(self) -> list[str]:
        """The rule sets that plans may name."""
        return [self.rules.digest]


class Holder:
    """The reading in use, and the rule sets of recent ones."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._sets: OrderedDict[str, RuleSet] = OrderedDict()
        self.swap(loaded)

    def swap(self, loaded: Loaded) -> None:
        """Use another reading from now on."""
        self._sets[loaded.rules.digest] = loaded.rules
        self._sets.move_to_end(loaded.rules.digest)
        while len(self._sets) > RULESETS_KEPT:
            self._sets.popitem(last=False)
        self.loaded = loaded

    def limits(self) -> tuple[tuple[Limit, ...], tuple[Rate, ...]]:
        """The limits and rates of the file in use."""
        return self.loaded.settings.limits, self.loaded.settings.rates

    def ruleset(self, digest: str) -> bytes | None:
        """The bytes of a rule set, or None for one no longer kept."""
        found = self._sets.get(digest)
        return None if found is None else found.body

    def rule(self, digest: str, rule_id: str) -> Rule | None:
        """A rule of a kept set."""
        found = self._sets.get(digest)
        return None if found is None else found.rules.get(rule_id)


def read_all(
    file: Path | None, compile_rules: Compile, text: str | None = None, *, look_for_keys: bool = True
) -> Loaded:
    """Read and check everything; `text`: as if it stood in the file. Raises ConfigError; nothing changes.

    `look_for_keys`: whether it is a fault that a provider's key is not there.
    """
    settings = load(file, text)
    check_telemetry(settings)
    if look_for_keys:
        _check_secrets(settings)
    catalogue = load_catalogue()
    try:
        packs = load_packs(settings.packs_dir)
    except PackError as fault:
        raise ConfigError([_no_packs(fault)]) from fault
    packs_by_provider = {
        name: _pack_of(name, item, catalogue, packs) for name, item in settings.providers.items()
    }
    attempts = {name: _attempts(name, settings, catalogue) for name in settings.models}
    prices = PriceBook(settings.prices, load_shipped(), settings.providers, packs_by_provider)
    _check_limits(settings, attempts, prices)
    models = {
        name: tuple(dict.fromkeys(Offer(one.provider, packs_by_provider[one.provider]) for one in ways))
        for name, ways in attempts.items()
    }
    terms = packs.providers()
    world = World.of(settings.zone.id, models, zones_of(settings), deployment_facts(settings.deployment))
    if problems := contradictions(settings, packs, world, now_ms()):
        raise ConfigError(problems)
    rules = with_referrals(load_rules(settings.rules), settings)
    return Loaded(
        file=file,
        settings=settings,
        packs=packs,
        world=world,
        attempts=attempts,
        territory=frozenset(
            name
            for name, pack in packs_by_provider.items()
            if pack is not None and terms[pack].depends_on_place
        ),
        rules=rule_set(rules, compile_rules),
        means=means_of(settings, rules, packs),
        prices=prices,
        relay=relay_config(
            settings, catalogue, {n: terms[p].wire for n, p in packs_by_provider.items() if p}
        ),
    )


def _no_packs(fault: PackError) -> Sentence:
    """Its message begins with the file, where it names one."""
    file = str(fault).partition(":")[0]
    where = f"（{file}）" if file.endswith(".toml") and " " not in file else ""
    return Sentence(f"packs: {fault}", f"packs：规则包无法加载{where}；`dragoman config check` 给出原因")


def zones_of(settings: Settings) -> dict[str, str]:
    """The zone that each country's people belong to, where the configuration names one."""
    return {country: name for name, zone in settings.zones.items() for country in zone.countries}


def deployment_facts(deployment: Deployment) -> dict[str, Any]:
    """The operator's own facts, in the shape decisions read."""
    operator: dict[str, Any] = {
        "seat": deployment.seat,
        "roles": list(deployment.roles),
        "evidence": {name: item.model_dump() for name, item in deployment.evidence.items()},
        "counters": dict(deployment.counters),
        "placed_on_market": deployment.placed_on_market,
        "data_locations": dict(deployment.data_locations),
        "model_use": deployment.model_use,
    }
    facts: dict[str, Any] = {
        "feature": deployment.feature,
        "audience": deployment.audience,
        "modality": list(deployment.modality),
        "legal_basis": deployment.legal_basis,
        "offered_markets": list(deployment.markets),
        "operator": operator,
    }
    return dict(_present(facts))


def watched(loaded: Loaded) -> dict[str, int]:
    """Modification times (ns) of each file of this reading, or that may appear; a missing one is 0."""
    files = [*loaded.settings.rules, loaded.file or Path(DEFAULT_FILE).resolve()]
    if loaded.settings.packs_dir is not None:
        files.extend(sorted(loaded.settings.packs_dir.rglob("*.toml")))
    return {str(file): _mtime(file) for file in files}


def _mtime(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _present(value: Any) -> Any:
    """Without the facts nobody stated: an absent fact is unknown, and unknown is not empty."""
    if isinstance(value, dict):
        kept = {name: _present(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item is not None and item not in ({}, [])}
    return value.isoformat() if isinstance(value, date) else value


def _pack_of(name: str, provider: Provider, catalogue: dict[str, Any], packs: PackSet) -> str | None:
    try:
        pack = pack_of(provider, catalogue)
    except ValueError as fault:
        said = by_value(fault)
        raise ConfigError(
            [Sentence(f"providers.{name}.pack: {said}", f"providers.{name}.pack：{said.zh}")]
        ) from fault
    known = packs.providers()
    if pack is not None and pack not in known:
        close = difflib.get_close_matches(pack, list(known), n=1, cutoff=0.4)
        hint = nearest(close, f"known: {', '.join(sorted(known))}", f"现有：{'、'.join(sorted(known))}")
        raise ConfigError(
            [
                Sentence(
                    f"providers.{name}.pack: no provider pack is called `{pack}`; {hint}",
                    f"providers.{name}.pack：没有名为 `{pack}` 的供应商规则包；{hint.zh}",
                )
            ]
        )
    return pack


def _attempts(name: str, settings: Settings, catalogue: dict[str, Any]) -> tuple[Attempt, ...]:
    chain = [settings.models[name], *(settings.models[other] for other in settings.models[name].fallbacks)]
    ways = (
        Attempt(
            model.provider,
            model.model,
            model.max_output_tokens,
            model.max_input_tokens,
            output_field_of(settings.providers[model.provider], catalogue),
        )
        for model in chain
    )
    return tuple(dict.fromkeys(ways))


def _check_limits(settings: Settings, attempts: dict[str, tuple[Attempt, ...]], prices: PriceBook) -> None:
    """A limit that cannot be kept is found here, not at the first turn."""
    tables = (("limits", doubled(settings.limits)), ("rates", doubled(settings.rates)))
    problems = [
        Sentence(f"{table}: more than one is called {name}", f"{table}：有多项名为 {name}")
        for table, names in tables
        for name in names
    ]
    problems += [
        Sentence(
            f"prices: no provider is called {price.provider!r}",
            f"prices：没有名为 {price.provider!r} 的供应商",
        )
        for price in settings.prices
        if price.provider not in settings.providers
    ]
    problems += [Sentence(**one) for one in faults(settings.limits, attempts, prices, now_ms())]
    if problems:
        raise ConfigError(problems)


def _check_secrets(settings: Settings) -> None:
    """A reference that leads nowhere is found here, not at the first turn."""
    faults: list[Sentence] = []
    for name, provider in settings.providers.items():
        if provider.key_env is not None and not os.environ.get(provider.key_env):
            faults.append(
                Sentence(
                    f"providers.{name}.key_env: the environment variable {provider.key_env} is not set",
                    f"providers.{name}.key_env：未设置环境变量 {provider.key_env}",
                )
            )
        if provider.key_file is not None and not provider.key_file.is_file():
            faults.append(
                Sentence(
                    f"providers.{name}.key_file: there is no file {provider.key_file}",
                    f"providers.{name}.key_file：文件 {provider.key_file} 不存在",
                )
            )
    if faults:
        raise ConfigError(faults)
