"""Runs one admin request under the zone's lock while control is down: `python -m dragoman.control.once`.

The CLI starts it. It reads {config, method, path, body} as JSON on standard input and writes {status, body};
exit code TAKEN says that somebody else held the lock.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from dragoman.control.admin_app import AdminSocket
from dragoman.control.admin_client import TAKEN
from dragoman.control.asgi import Routes
from dragoman.control.conversation_verbs import ConversationVerbs
from dragoman.control.core import Core
from dragoman.control.loaded import read_all
from dragoman.control.own_temp import keep_temp
from dragoman.control.rule_check import compile_rules
from dragoman.errors import DragomanError, UnavailableError
from dragoman.stores.database import ZoneTakenError


def main() -> int:
    """Answer the one request; exit 0 whenever there is an answer, or TAKEN."""
    asked = json.loads(sys.stdin.read())
    file = Path(asked["config"]) if asked["config"] else None
    try:
        loaded = read_all(file, compile_rules)
        keep_temp(loaded.settings.zone.data, empty=False)
        core = Core(loaded)
    except DragomanError as fault:
        status = 503 if isinstance(fault, UnavailableError) else 400
        said = {"en": fault.message, "zh": fault.message}
        _answer(status, {"error": {"code": fault.code, "message": said}})
        return TAKEN if isinstance(fault, ZoneTakenError) else 0
    try:
        admin = AdminSocket(core.holder, core.registry, core.people, None, core.database.snapshot)
        conversations = ConversationVerbs(core.conversations, core.registry, core.eraser)
        verbs = core.retention.added_to(
            conversations.added_to(core.move_verbs(core.budget_verbs(admin.app())))
        )
        status, body = asyncio.run(_ask(verbs, asked))
    finally:
        core.close()
    _answer(status, body)
    return 0


async def _ask(app: Routes, asked: dict[str, Any]) -> tuple[int, Any]:
    path, _, query = asked["path"].partition("?")
    scope = {
        "type": "http",
        "method": asked["method"],
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"dragoman-wire", b"1")],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": json.dumps(asked["body"] or {}).encode(), "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return int(sent[0]["status"]), json.loads(body) if body else None


def _answer(status: int, body: Any) -> None:
    json.dump({"status": status, "body": body}, sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
