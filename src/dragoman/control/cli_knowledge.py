"""`dragoman ingest` and `dragoman ask`: documents in, cited answers out.

Ingestion writes the knowledge's own folder under its own lock, beside a running control; it opens no
database. A question takes the relay's path where the relay runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from dragoman.control.admin_client import AdminClient
from dragoman.control.cli_common import ConfigOption, JsonOption, settings_of, told_plainly
from dragoman.control.relay_config import SESSION_COOKIE, run_folder
from dragoman.errors import UnavailableError
from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.ingest import Report
from dragoman.knowledge.language import language_of, spoken
from dragoman.knowledge.model import TRUST_TIERS, Asker, Source
from dragoman.knowledge.progress import shown
from dragoman.knowledge.sources import DEFAULT_TENANT, Said, tenant_id, wanted_source
from dragoman.settings import LOCAL_MODEL, Settings
from dragoman.web.turn import Asked, Turn, TurnClient, TurnError

KNOWLEDGE = "knowledge"
_ADDRESS = '{"country": null, "kind": "unknown"}'
_NOT_RUNNING = "Dragoman is not running here: this is from the index alone, not decided, scanned or recorded."


def ingest(
    path: Annotated[Path, typer.Argument(help="A file or a folder: Markdown, HTML, text, FAQ tables (CSV).")],
    source: Annotated[str, typer.Option(help="Id of the source: a-z, 0-9 and '-'.")],
    title: Annotated[str | None, typer.Option(help="The source's title.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who owns the documents.")] = None,
    licence: Annotated[str | None, typer.Option(help="Their licence.")] = None,
    jurisdiction: Annotated[
        list[str] | None, typer.Option(help="Where they may be used (ISO 3166); give it once per place.")
    ] = None,
    trust: Annotated[str | None, typer.Option(help=f"One of {', '.join(TRUST_TIERS)}.")] = None,
    public: Annotated[bool, typer.Option(help="Let the people of every tenant read it.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Name or id of the tenant that owns it.")] = None,
    replace: Annotated[bool, typer.Option(help="Remove the source's other documents.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add documents to a source; what was there under the same name is exchanged.

    Example: dragoman ingest ./help-pages --source help
    """
    said = Said(
        source=source,
        tenant=tenant,
        title=title,
        owner=owner,
        licence=licence,
        jurisdictions=tuple(jurisdiction) if jurisdiction else None,
        trust=trust,
        public=public,
    )
    with told_plainly(as_json=as_json):
        settings, file = settings_of(config)
        tenants = _tenants(settings, file)
        knowledge = Knowledge(settings.zone.data / KNOWLEDGE)
        wanted = wanted_source(settings, knowledge.shelf, lambda name: tenant_id(tenants, name), said)
        with shown() as progress:
            report = knowledge.ingest(path, wanted, progress, replace=replace)
    _show_report(report, wanted, as_json=as_json)
    if report.failed:
        raise typer.Exit(1)


def ask(
    question: Annotated[str, typer.Argument(help="The question, in English or Chinese.")],
    model: Annotated[str, typer.Option(help="The model name to ask.")] = LOCAL_MODEL,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask, and print the answer with its citations.

    Example: dragoman ask "How do I return an item?" --json
    """
    with told_plainly(as_json=as_json):
        settings, file = settings_of(config)
        run = run_folder(settings)
        principal = _guest(run / "pages.sock")
        if principal is not None and (run / "turn.sock").exists():
            document = asyncio.run(_over_relay(run / "turn.sock", question, model, principal))
        else:
            document = _from_index(settings, file, question)
            print(_NOT_RUNNING, file=sys.stderr)
    print(json.dumps(document, ensure_ascii=False) if as_json else document["answer"])


def _tenants(settings: Settings, file: Path | None) -> list[dict[str, Any]]:
    """The zone's tenants, from control or the same application under the lock."""
    rows: list[dict[str, Any]] = AdminClient(settings, file).ask("GET", "/admin/v1/tenants")["tenants"]
    return rows


def _guest(socket: Path) -> str | None:
    """A new guest's principal id from control's pages, None where control does not answer."""
    transport = httpx.HTTPTransport(uds=str(socket))
    try:
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=5.0) as client:
            page = client.get("/", headers={"accept": "text/html"})
    except httpx.TransportError:
        return None
    cookie = (page.cookies.get(SESSION_COOKIE) or "").split(".")
    if len(cookie) != 5:  # v1.<tenant>.<principal>.<expires>.<signature>, as accounts/sessions.py writes it
        raise UnavailableError("control gave no guest session")
    return cookie[2]


async def _over_relay(socket: Path, question: str, model: str, principal: str) -> dict[str, Any]:
    """The relay's answer to a guest on this machine."""
    client = TurnClient(socket)
    turn = Turn()
    try:
        asked = Asked(
            question=question,
            model=model,
            principal=principal,
            address=_ADDRESS,
            locale=spoken(language_of(question)),
        )
        async for latest, _ in client.ask(asked):
            turn = latest
    except TurnError as error:
        raise UnavailableError(error.text or "the relay could not be reached") from error
    finally:
        await client.close()
    if turn.error is not None or turn.finish is None:
        raise UnavailableError(turn.error or "the answer broke off")
    cited = [note.get("url_citation", {}) for note in turn.annotations]
    return {
        "question": question,
        "answer": turn.text,
        "citations": [{"title": c.get("title"), "url": c.get("url")} for c in cited],
        "finish_reason": turn.finish,
        "dragoman": turn.metadata,
        "via": "relay",
    }


def _from_index(settings: Settings, file: Path | None, question: str) -> dict[str, Any]:
    knowledge = Knowledge(settings.zone.data / KNOWLEDGE)
    tenant = tenant_id(_tenants(settings, file), DEFAULT_TENANT)
    given = knowledge.answer(question, Asker(tenant))
    return {
        "question": question,
        "answer": given.text,
        "citations": [{"title": c.title, "url": c.url} for c in given.citations],
        "outcome": given.outcome,
        "via": "index",
    }


def _show_report(report: Report, source: Source, *, as_json: bool) -> None:
    if as_json:
        document = {
            "source": source.as_dict(),
            "added": report.added,
            "unchanged": report.unchanged,
            "passages": report.passages,
            "failed": {name: why.text["en"] for name, why in report.failed.items()},
            "skipped": report.skipped,
        }
        print(json.dumps(document, ensure_ascii=False))
        return
    print(f"{source.id}: {report.added} added ({report.passages} passages), {report.unchanged} unchanged")
    for name, why in report.failed.items():
        print(f"failed: {name}: {why.text['en']}", file=sys.stderr)
    if report.skipped:
        print(f"skipped, not a kind of file that can be read: {len(report.skipped)}", file=sys.stderr)
