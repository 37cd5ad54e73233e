"""`dragoman models`: try a model, say where it may be offered, and put it into the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.admin.setup_desk import NewModel
from dragoman.control.cli_common import ConfigOption, JsonOption, settings_of, table, told_plainly
from dragoman.control.config_file import proposed, write
from dragoman.control.new_model import addition, provider_of, tried
from dragoman.control.offers import Offers
from dragoman.decide.packs import load_packs
from dragoman.errors import ConfigError
from dragoman.providers.catalogue import load_catalogue, pack_of
from dragoman.providers.provider_key import read_key
from dragoman.providers.trial import Trial
from dragoman.sentences import by_value
from dragoman.settings import Settings
from dragoman.settings_providers import Provider

app = typer.Typer(help="Models: names that callers use, and what stands behind them.", no_args_is_help=True)

SHOWN_PLACES = 40
"""LIMIT: territories listed by name in the plain answer; --json lists all."""


@app.command("add")
def add_model(
    name: Annotated[str, typer.Argument(help="The name your callers will use.")],
    url: Annotated[str, typer.Option(help="Base URL of an OpenAI-compatible server, usually ending in /v1.")],
    key_env: Annotated[
        str | None, typer.Option(help="NAME of the environment variable that holds the key.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="File that holds the key, one line that only you can read.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model's name at the provider; default: NAME.")
    ] = None,
    pack: Annotated[
        str | None, typer.Option(help="Provider pack whose terms apply; default: by the URL's host.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try and tell, but change nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try one turn, say where the model may be offered, then add it to dragoman.toml.

    Example: dragoman models add big --url https://host/v1 --key-env MAIN_KEY --model big-1
    """
    with told_plainly(as_json=as_json):
        settings, file = settings_of(config)
        named = str(key_file.absolute()) if key_file else None
        new = NewModel(name, url, model or name, key_env, named, pack, price=None)
        provider = provider_of(new)
        added = addition(new, provider, settings, load_packs(settings.packs_dir))
        trial, offers = tried(new, provider, lambda: read_key(provider)), added.offers
        change = proposed(file, added.edits)
        written = trial.ok and not dry_run
        if written:
            write(change)
        told = {
            "trial": asdict(trial),
            "offers": asdict(offers),
            "pack": added.pack,
            "file": str(change.file),
            "diff": change.difference,
            "written": written,
        }
        print(json.dumps(told, ensure_ascii=False) if as_json else _told(told, trial, offers))
        if not trial.ok:
            raise typer.Exit(1)


@app.command("list")
def list_models(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List model names and what stands behind them."""
    with told_plainly(as_json=as_json):
        settings, _ = settings_of(config)
        rows = _rows(settings)
        print(
            json.dumps({"models": rows}, ensure_ascii=False)
            if as_json
            else table(rows, ("name", "provider", "model", "pack", "fallbacks"))
        )


def _rows(settings: Settings) -> list[dict[str, Any]]:
    catalogue = load_catalogue()
    return [
        {
            "name": name,
            "provider": model.provider,
            "model": model.model,
            "pack": _named_pack(settings.providers[model.provider], catalogue),
            "fallbacks": ", ".join(model.fallbacks) or None,
        }
        for name, model in sorted(settings.models.items())
    ]


def _named_pack(provider: Provider, catalogue: Mapping[str, Any]) -> str | None:
    try:
        return pack_of(provider, catalogue)
    except ValueError as fault:
        raise ConfigError([by_value(fault)]) from fault


def _told(told: dict[str, Any], trial: Trial, offers: Offers) -> str:
    lines = [
        f"trial: answered in {trial.ms} ms: {trial.said!r}" if trial.ok else f"trial failed: {trial.problem}"
    ]
    lines.append(f"terms: pack {told['pack']}" if told["pack"] else "terms: none of a vendor (self-hosted)")
    lines.append(f"may be offered in {len(offers.allowed)} territories: {_some(offers.allowed)}")
    if offers.not_ready:
        needs = sorted({need for missing in offers.not_ready.values() for need in missing})
        lines.append(f"once you supply {', '.join(needs)}: {_some(sorted(offers.not_ready))}")
        lines.append("  (filings and representatives you hold: [deployment.evidence.ID] in the file)")
    if offers.denied:
        why = [f"{place} ({said})" for place, said in sorted(offers.denied.items())]
        lines.append(f"may not be offered in {len(offers.denied)}: {_some(why)}")
    lines.append(str(told["diff"]).rstrip())
    lines.append(
        f"written to {told['file']}; a server running with it offers the model within a second"
        if told["written"]
        else "nothing was changed"
    )
    return "\n".join(lines)


def _some(places: list[str]) -> str:
    more = f" and {len(places) - SHOWN_PLACES} more (--json lists all)" if len(places) > SHOWN_PLACES else ""
    return ", ".join(places[:SHOWN_PLACES]) + more
