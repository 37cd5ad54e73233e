"""`dragoman config` and `dragoman reload`: look at the configuration, check it, have it read again."""

from __future__ import annotations

import json
from typing import Any

import typer

from dragoman.control.cli_common import ConfigOption, JsonOption, ask, settings_of, told_plainly
from dragoman.control.loaded import read_all
from dragoman.control.rule_check import compile_rules

app = typer.Typer(help="The configuration: one dragoman.toml.", no_args_is_help=True)


@app.command("check")
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check the file, the rule files and the packs as control would; nothing is changed.

    Example: dragoman config check --config dragoman.toml
    """
    with told_plainly(as_json=as_json):
        _, file = settings_of(config)
        loaded = read_all(file, compile_rules)
        told = {
            "file": str(file) if file else None,
            "config": loaded.config_digest,
            "models": sorted(loaded.attempts),
            "packs": loaded.packs.digest,
            "rules": len(loaded.rules.rules),
        }
        place, names = told["file"] or "built-in default", ", ".join(loaded.attempts)
        plain = f"{place}: fine. {told['rules']} rules, models {names}"
        print(json.dumps(told, ensure_ascii=False) if as_json else plain)


@app.command("show")
def show(config: ConfigOption = None) -> None:
    """Print the settings in force as JSON: file, environment and defaults together."""
    with told_plainly(as_json=True):
        settings, _ = settings_of(config)
        print(settings.model_dump_json(indent=2))


def reload(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Have the running control read its files again; it keeps the old and says why they do not load."""
    ask(config, "POST", "/admin/v1/reload", as_json=as_json, show=_reloaded)


def _reloaded(answer: dict[str, Any]) -> str:
    changed = ", ".join(answer["changed"]) or "nothing"
    return f"reloaded; changed: {changed}"
