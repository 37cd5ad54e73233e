"""`dragoman packs refresh`: a provider's list of places, shown as a change, written once approved.

Writes one provider pack into the overlay `packs_dir`; a running zone reads it within a second.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import typer

from dragoman.core.facts import nearest
from dragoman.decide.cli_common import Json, fail, load_or_fail, or_fail, print_json
from dragoman.decide.iso3166 import country
from dragoman.decide.packs import Pack, PackSet, pack_text
from dragoman.decide.place_list import MAX_LIST_BYTES, read_list
from dragoman.decide.refresh import Origin, Refresh, refreshed
from dragoman.decide.schema import PackError

FETCH_SECONDS = 30.0
"""LIMIT: seconds for each wait of a fetch."""
_NEAR = ("localhost", "127.0.0.1", "::1")


def refresh_command(
    pack_id: Annotated[
        str, typer.Argument(help="The provider pack, for example of `packs show`.", metavar="PACK")
    ],
    source: Annotated[str, typer.Option("--from", help="File or https address of the list.")],
    packs_dir: Annotated[Path, typer.Option("--packs-dir", help="The packs_dir of the configuration.")],
    url: Annotated[str | None, typer.Option("--url", help="Where the list of a file stands.")] = None,
    snapshot: Annotated[
        datetime | None,
        typer.Option(
            "--snapshot-date",
            formats=["%Y-%m-%d"],
            help="Day of the list. Default: as it says; of an address, today.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="NAME=CODE for a name that is not known; again for each."),
    ] = None,
    basis: Annotated[
        str | None, typer.Option("--basis", help="For a pack without list: what its terms look at.")
    ] = None,
    approve: Annotated[
        str | None, typer.Option("--approve", help="The digest of the change that was read.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Import a provider's list of places as a change that a person approves.

    The list is TOML or JSON with territory_allow, or text with one place a line: codes of ISO 3166-1, English
    names, or both. What is neither is refused with the nearest place; nothing is guessed. Without --approve
    the change is shown with its digest, and nothing is written unless you say yes to it.

    Example: dragoman packs refresh PACK --from list.txt --url https://provider.example --packs-dir packs
    """  # fmt: skip
    packs = load_or_fail(packs_dir if packs_dir.is_dir() else None)
    pack = _provider_pack(packs, pack_id)
    change = or_fail(lambda: _change(pack, packs_dir, source, url, snapshot, name or [], basis))
    if as_json:
        print_json({**change.to_dict(), "written": _approved(change, approve, ask=False)})
    else:
        for line in change.lines():
            typer.echo(line)
        typer.echo(f"digest {change.digest}")
    if not _approved(change, approve, ask=not as_json):
        if not as_json:
            typer.echo(f"nothing was written; to write it: --approve {change.digest}", err=True)
        return
    file = packs_dir / "providers" / f"{pack.id}.toml"
    or_fail(lambda: _write(file, change.text))
    load_or_fail(packs_dir)
    if not as_json:
        typer.echo(f"{file}; see which cases it changes with: dragoman packs check --packs-dir {packs_dir}")


def _provider_pack(packs: PackSet, pack_id: str) -> Pack:
    pack = packs.packs.get(pack_id)
    if pack is None or pack.provider is None:
        fail(f"no provider pack is called {pack_id}{nearest(pack_id, packs.providers())}")
    return pack


def _change(
    pack: Pack, packs_dir: Path, source: str, url: str | None, snapshot: datetime | None, names: list[str],
    basis: str | None,
) -> Refresh:  # fmt: skip
    today = datetime.now(UTC).date()
    remote = source.startswith(("https://", "http://"))
    raw = _fetched(source) if remote else _read(Path(source))
    found = read_list(raw, dict(_mapped(one) for one in names))
    day = snapshot.date() if snapshot else found.snapshot or (today if remote else None)
    where = url or (source if remote else pack.provider.list_url if pack.provider else "")
    if day is None:
        raise PackError("a file needs the day of its list: --snapshot-date 2026-01-31")
    if not where:
        raise PackError("a file needs the address where its list stands: --url https://…")
    if day > today:
        raise PackError(f"the list is dated {day}, which lies ahead")
    return refreshed(pack, pack_text(pack, packs_dir), found, Origin(where, day, basis))


def _mapped(given: str) -> tuple[str, str]:
    name, equals, code = given.rpartition("=")
    if not equals or not name:
        raise PackError(f"--name {given}: write NAME=CODE")
    try:
        return name, country(code)
    except ValueError as fault:
        raise PackError(f"--name {given}: {fault}") from fault


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_LIST_BYTES + 1)


def _fetched(address: str) -> bytes:
    """The body at an address: https, or this machine; no redirect, bounded. Raises PackError."""
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in _NEAR:
        raise PackError(f"{address}: only https, so that the list is the provider's")
    raw = bytearray()
    try:
        with httpx.stream("GET", address, timeout=FETCH_SECONDS, follow_redirects=False) as answer:
            if answer.status_code != 200:
                raise PackError(f"{address}: answered {answer.status_code}; redirects are not followed")
            for part in answer.iter_bytes():
                raw += part
                if len(raw) > MAX_LIST_BYTES:
                    raise PackError(f"{address}: larger than {MAX_LIST_BYTES} bytes")
    except httpx.HTTPError as fault:
        raise PackError(f"{address}: {fault}") from fault
    return bytes(raw)


def _approved(change: Refresh, approve: str | None, *, ask: bool) -> bool:
    if approve is not None:
        if approve != change.digest:
            fail(f"--approve names another change than this: its digest is {change.digest}")
        return True
    return ask and sys.stdin.isatty() and typer.confirm("Write this?")


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".toml.new")
    fresh.write_text(text, "utf-8")
    fresh.replace(file)
