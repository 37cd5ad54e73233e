"""The page `/start` alone: `python -m dragoman.control.entry_run`, which the verb `dragoman entry` becomes.

For a host outside all zones. INVARIANT: it opens no database, no data folder and no record, knows no key and
no cookie, and writes nothing of a request to its log.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.control.bounded import HEAD_BYTES, HEAD_SECONDS, BoundedProtocol
from dragoman.control.entry import Asked, parts_of, served
from dragoman.control.foreign_lines import take_over
from dragoman.control.loaded import zones_of
from dragoman.crash import leave_no_dump
from dragoman.decide.packs import PackSet, load_packs
from dragoman.decide.schema import PackError
from dragoman.decide.world import World
from dragoman.errors import ConfigError
from dragoman.events import send_to
from dragoman.ids import now_ms
from dragoman.sentences import Sentence
from dragoman.settings import Settings, find_file, load
from dragoman.web.entry import PATH, Entry, EntryPage
from dragoman.web.texts import LANGUAGES
from dragoman.web.view import View

LISTEN = "127.0.0.1:8088"
ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="dragoman entry")
    parser.add_argument("--config", "-c", type=Path, help="names the zones; default ./dragoman.toml")
    parser.add_argument("--listen", default=LISTEN, help=f"host:port; default {LISTEN}")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        parser.error(f"--listen: write host:port, for example {LISTEN}")
    send_to(sys.stderr, "error")
    take_over()
    leave_no_dump()
    try:
        settings = load(find_file(options.config))
        app = entry_app(settings, load_packs(settings.packs_dir))
    except (ConfigError, PackError) as fault:
        for problem in fault.problems if isinstance(fault, ConfigError) else [fault]:
            print(f"dragoman entry: {problem}", file=sys.stderr)
        return 1
    print(f"The entry page answers at http://{options.listen}{PATH}", flush=True)
    # Neither lines of access nor addresses: what somebody chose must not stand beside where they came from.
    uvicorn.run(
        app,
        host=host.strip("[]"),
        port=int(port),
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        http=BoundedProtocol,
        ws="none",
        timeout_keep_alive=int(HEAD_SECONDS),
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    return 0


def entry_app(settings: Settings, packs: PackSet) -> Starlette:
    """The page, its style, and nothing else. Raises ConfigError where no zone is named."""
    zones = zones_of(settings)
    if not zones:
        raise ConfigError(
            [
                Sentence(
                    "no zone has people to be sent to it: set [zones.NAME] address and countries",
                    "没有任何区域可供引导用户：请设置 [zones.NAME] 的 address 与 countries",
                )
            ]
        )
    asked = Asked(settings, packs, World.of(settings.zone.id, {}, zones), is_zone=False)
    parts = parts_of(packs)
    view = View(settings.deployment.name, (), secure=False)
    entry = Entry(lambda country, part: served(asked, country, part, now_ms()), lambda: parts)

    async def static(request: Request) -> Response:
        return view.static(request.path_params["name"]) or Response(status_code=404)

    async def begin(_request: Request) -> Response:
        return RedirectResponse(PATH, 303, view.headers())

    async def missing(_request: Request) -> Response:
        return Response(status_code=404, headers=view.headers())

    return Starlette(
        routes=[
            *EntryPage(view, entry).routes(),
            Route("/", begin, methods=["GET"]),
            Route("/static/{name}", static, methods=["GET"]),
            Route("/{path:path}", missing, methods=ANY),
        ],
        middleware=[Middleware(ReadersLanguage)],
    )


class ReadersLanguage:
    """Does a relay's part in front of the page: tells the language, and lets no other header through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] == "http":
            wished = Request(scope).headers.get("accept-language", "").split(",")
            spoken = [one.strip()[:2].lower() for one in wished]
            locale = next((one for one in spoken if one in LANGUAGES), LANGUAGES[0])
            scope = {**scope, "headers": [(b"dragoman-locale", locale.encode())]}
        await self._app(scope, receive, send)


if __name__ == "__main__":
    sys.exit(main())
