"""`dragoman simulate`: recorded decisions under changed packs or as of another date. No model is called.

Exit status: 0 done, 2 it could not be done; with --fail-on-change also 1: something comes out otherwise, and
3: nothing does as far as could be told, but not everything could.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dragoman.control.cli_common import ConfigOption, JsonOption, settings_of
from dragoman.control.loaded import read_all
from dragoman.control.recorded_source import source_of
from dragoman.control.rule_check import compile_rules
from dragoman.control.simulate_told import told
from dragoman.core.facts import instant
from dragoman.decide.packs import PackSet, load_packs
from dragoman.decide.recorded import RecordError
from dragoman.decide.replay import NOT_UNDERSTOOD, OPEN, Asked, Side
from dragoman.decide.schema import PackError
from dragoman.decide.simulate import Source, Tell, simulate
from dragoman.decide.world import World
from dragoman.errors import ConfigError
from dragoman.ledger.logs import LedgerError
from dragoman.ledger.texts import language, say

CHANGED, FAILED, UNTOLD = 1, 2, 3
"""Exit statuses beside 0."""
PROCESSES_MOST = 64
"""LIMIT: deciding processes."""
_TELL_EVERY_S = 1.0


def simulate_command(
    recorded: Annotated[
        Path,
        typer.Option("--from", help="A zone's data folder, an export of its ledger, or facts.jsonl."),
    ],
    packs: Annotated[
        Path | None, typer.Option("--packs", help="Overlay folder of the changed packs. Default: the same.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Decide as of this date (noon UTC) or ISO 8601 time.")
    ] = None,
    packs_dir: Annotated[
        Path | None,
        typer.Option("--packs-dir", help="Overlay of the packs in force. Default: the configuration's."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Deciding processes. Default: one per processor.", min=1, max=PROCESSES_MOST),
    ] = None,
    fail_on_change: Annotated[
        bool, typer.Option("--fail-on-change", help="Exit 1 on any change, 3 where none is sure.")
    ] = False,
    progress: Annotated[
        bool, typer.Option("--progress", help="Say on standard error how far it is, also without a terminal.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    lang: Annotated[
        str | None, typer.Option("--lang", help="en or zh. Default: by LC_ALL, LC_MESSAGES or LANG.")
    ] = None,
) -> None:
    """Decide recorded turns again under changed packs or as of another date, and show what differs.

    Example: dragoman simulate --from dragoman-data --packs packs-next --as-of 2027-01-01
    """
    words = "en"
    try:
        words = language(lang)
        source = source_of(recorded)
        old, new = _sides(source, config, packs_dir, packs)
        asked = Asked(old, new, _instant(as_of, needed=packs is None))
        tell = _teller() if progress or sys.stderr.isatty() else lambda _stage, _done, _whole: None
        report = simulate(source, asked, processes or _processors(), tell)
    except ConfigError as error:
        raise _failed(*(one.text[words] for one in error.problems)) from error
    except (LedgerError, PackError, RecordError, OSError) as error:
        raise _failed(say(words, str(error))) from error
    typer.echo(json.dumps(report, ensure_ascii=False) if as_json else told(report, words))
    if fail_on_change and (status := _status(report["turns"])):
        raise typer.Exit(status)


def _status(turns: dict[str, int]) -> int:
    if turns["changed"]:
        return CHANGED
    return UNTOLD if turns[OPEN] or turns[NOT_UNDERSTOOD] else 0


def _failed(*sentences: str) -> typer.Exit:
    for sentence in sentences:
        typer.echo(f"dragoman: {sentence}", err=True)
    return typer.Exit(FAILED)


def _instant(text: str | None, *, needed: bool) -> int | None:
    if text is None and needed:
        raise RecordError("give --packs, --as-of or both: without them nothing changes")
    try:
        return None if text is None else instant(text)
    except ValueError as error:
        raise RecordError(f"--as-of: {error}") from error


def _processors() -> int:
    return min(PROCESSES_MOST, len(os.sched_getaffinity(0)))


def _sides(
    source: Source, config: Path | None, packs_dir: Path | None, packs: Path | None
) -> tuple[Side, Side]:
    """Packs in force and changed ones, each with the models that are asked about.

    Of a ledger the models are the configuration's; a facts document names a provider pack as its model, as
    for `dragoman decide`, unless a configuration is given. The operator's facts stand in what was recorded.
    """
    if source.ledger or config is not None:
        _, file = settings_of(config)
        loaded = read_all(file, compile_rules, look_for_keys=False)
        old = load_packs(packs_dir) if packs_dir else loaded.packs
        world: World | None = replace(loaded.world, deployment={})
    else:
        old, world = load_packs(packs_dir), None
    new = old if packs is None else load_packs(packs)
    return _side(old, world), _side(new, world)


def _side(packs: PackSet, world: World | None) -> Side:
    if world is None:
        return Side(packs, World.from_packs(packs))
    known = packs.providers()
    for offers in world.models.values():
        for offer in offers:
            if offer.pack is not None and offer.pack not in known:
                raise PackError(
                    f"provider {offer.provider} has the terms of pack {offer.pack}, which is missing here"
                )
    return Side(packs, world)


def _teller() -> Tell:
    last = 0.0

    def tell(stage: str, done: int, whole: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TELL_EVERY_S or (whole and done == whole):
            last = now
            typer.echo(f"{stage} {done} of {whole}" if whole else f"{stage} {done}", err=True)

    return tell
