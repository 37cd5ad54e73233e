"""`dragoman models`: try a model, say where it may be offered, and put it into the configuration."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.control.cli_common import ConfigOption, JsonOption, settings_of, table, told_plainly
from dragoman.control.offers import Offers, where_offered
from dragoman.decide.packs import load_packs
from dragoman.errors import ConfigError, DragomanError
from dragoman.ids import now_ms
from dragoman.providers.catalogue import load_catalogue, pack_of
from dragoman.providers.trial import Trial, try_turn
from dragoman.settings import DEFAULT_FILE, Provider, Settings, load

app = typer.Typer(help="Models: names that callers use, and what stands behind them.", no_args_is_help=True)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""What TOML lets stand as a key without quotes."""

SHOWN_PLACES = 40
"""LIMIT: territories listed by name in the plain answer; --json lists all."""


@app.command("add")
def add_model(
    name: Annotated[str, typer.Argument(help="The name your callers will use.")],
    url: Annotated[str, typer.Option(help="Base URL of an OpenAI-compatible server, usually ending in /v1.")],
    key_env: Annotated[
        str | None, typer.Option(help="NAME of the environment variable that holds the key.")
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
        if name in settings.models or name in settings.providers:
            raise ConfigError([f"{name}: a model or provider with this name exists; choose another"])
        provider, pack_id = _provider(url, key_env, pack)
        packs = load_packs(settings.packs_dir)
        if pack_id is not None and pack_id not in packs.providers():
            raise ConfigError(
                [f"no provider pack is called {pack_id}; known: {', '.join(sorted(packs.providers()))}"]
            )
        trial = try_turn(str(provider.base_url), model or name, os.environ.get(key_env) if key_env else None)
        offers = where_offered(pack_id, packs, settings.deployment, now_ms())
        target = file or Path(DEFAULT_FILE).resolve()
        diff = _diff(target, _tables(name, provider, pack_id, model or name))
        written = trial.ok and not dry_run
        if written:
            _write(target, diff[1])
        told = {
            "trial": asdict(trial),
            "offers": asdict(offers),
            "pack": pack_id,
            "file": str(target),
            "diff": diff[0],
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
        raise ConfigError([str(fault)]) from fault


def _provider(url: str, key_env: str | None, pack: str | None) -> tuple[Provider, str | None]:
    if key_env is not None and not os.environ.get(key_env):
        raise ConfigError([f"the environment variable {key_env} is not set; export it first"])
    try:
        provider = Provider(base_url=url, key_env=key_env, pack=pack)
    except ValueError as fault:
        raise ConfigError([re.sub(r"\s+", " ", str(fault).split("\n", 1)[-1]).strip()]) from fault
    return provider, _named_pack(provider, load_catalogue())


def _tables(name: str, provider: Provider, pack: str | None, model: str) -> str:
    quoted = json.dumps(name)
    bare = name if _BARE_KEY.fullmatch(name) else quoted
    lines = [f"[providers.{bare}]", f"base_url = {json.dumps(provider.base_url)}"]
    if provider.key_env:
        lines.append(f"key_env = {json.dumps(provider.key_env)}")
    if pack:
        lines.append(f"pack = {json.dumps(pack)}")
    lines += ["", f"[models.{bare}]", f"provider = {quoted}", f"model = {json.dumps(model)}", ""]
    return "\n".join(lines)


def _diff(target: Path, added: str) -> tuple[str, str]:
    before = target.read_text(encoding="utf-8") if target.is_file() else ""
    after = f"{before.rstrip()}\n\n{added}" if before.strip() else added
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), str(target), str(target))
    return "".join(lines), after


def _write(target: Path, text: str) -> None:
    """Put the new file in place only if it loads."""
    draft = target.with_name(f".{target.name}.new")
    draft.write_text(text, encoding="utf-8")
    try:
        load(draft)
    except DragomanError:
        draft.unlink()
        raise
    draft.replace(target)


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
