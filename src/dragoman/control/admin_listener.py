"""Control's admin listener: its own TCP port, thread and event loop, in front of `admin.site`.

What faces the network is bounded: connections in all and per address, the time of a head and of a whole
connection. Without TLS it speaks to loopback or to trusted proxies alone, which the settings make sure of.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import resource
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from starlette.concurrency import run_in_threadpool

from dragoman.admin.attempts import Attempts, Pending, Refusals
from dragoman.admin.build import admin_site
from dragoman.admin.context import AdminContext
from dragoman.admin.door import Door
from dragoman.admin.metrics_token import MetricsToken
from dragoman.admin.oidc import Provider
from dragoman.admin.passkeys import Ceremonies
from dragoman.admin.people import NewInvite
from dragoman.admin.sessions import Limits, Sessions
from dragoman.budgets.bounds import faults
from dragoman.control.bounded import HEAD_BYTES, HEAD_SECONDS, BoundedProtocol
from dragoman.control.core import Core
from dragoman.control.reload import Reloader
from dragoman.control.setup_desk import setup_desk
from dragoman.control.simulation_desk import Simulations
from dragoman.control.sockets import BACKLOG, QuietServer
from dragoman.errors import ConfigError
from dragoman.events import AdminReady, EdgeFailed, emit, fault_place, metrics_text
from dragoman.ids import now_ms
from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.intake import Intake
from dragoman.meters import meters_text
from dragoman.sentences import Sentence, by_system
from dragoman.settings import Settings
from dragoman.stores.decision_index import DecisionSearch
from dragoman.stores.filings import Filings
from dragoman.stores.incidents import SqlIncidents
from dragoman.stores.overview import Overview

ACCEPTED_A_MINUTE = 600
"""LIMIT: connections taken a minute where TLS is spoken, handshakes that never end included."""
START_SECONDS, STOP_SECONDS = 10.0, 3
RELAY_SECONDS = 1.0
"""How long the relay may take to say how it does."""
RELAY_BYTES = 1 << 20
CERTIFICATE_SECONDS = 10.0
"""How often a certificate is looked at."""

_GAUGE = re.compile(r"^(dragoman_[a-z_]+) (\d+)$", re.MULTILINE)


class PacedSocket(socket.socket):
    """A listening socket that gives out at most so many connections a minute.

    A TLS handshake that never ends is seen by no protocol of ours, and holds a descriptor for a minute.
    """

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; one too many is closed before a byte."""
        taken, address = super().accept()
        minute = int(time.monotonic() // 60)
        if minute != getattr(self, "_minute", None):
            self._minute, self._taken = minute, 0
        self._taken += 1
        if self._taken > ACCEPTED_A_MINUTE:
            taken.close()
            raise BlockingIOError
        return taken, address


class AdminListener:
    """The listener in a thread of its own."""

    def __init__(self, core: Core, reloader: Reloader, knowledge: Knowledge) -> None:
        settings = core.holder.loaded.settings
        address = settings.admin.address(settings.zone.admin_listen)
        if address is None:
            raise ConfigError([Sentence("admin.listen is off", "admin.listen 已关闭")])
        self.origin = settings.admin.origin(settings.zone.admin_listen)
        context = _context(core, reloader, knowledge, address, self.origin)
        self._end_simulation = context.simulations.stop
        site, self.table = admin_site(context)
        self._tls = settings.admin.tls_cert, settings.admin.tls_key
        self._socket = _listen(address, PacedSocket if self._tls[0] else socket.socket)
        config = uvicorn.Config(
            site,
            http=BoundedProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(HEAD_SECONDS),
            timeout_graceful_shutdown=STOP_SECONDS,
            h11_max_incomplete_event_size=HEAD_BYTES,
            ssl_certfile=settings.admin.tls_cert,
            ssl_keyfile=settings.admin.tls_key,
        )
        self._server = QuietServer(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="admin", daemon=True)

    def start(self) -> None:
        """Serve; returns when it answers."""
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise ConfigError(
                    [
                        Sentence(
                            "admin.listen: the admin listener did not start",
                            "admin.listen：管理端口未能启动",
                        )
                    ]
                )
            time.sleep(0.005)
        emit(AdminReady(self.origin))

    def stop(self) -> None:
        """Finish open requests and close; a simulation that runs is ended."""
        self._end_simulation()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._server.end)
        self._thread.join(STOP_SECONDS + 1)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        watch = asyncio.create_task(self._watch_certificate())
        await self._server.serve(sockets=[self._socket])
        watch.cancel()

    async def _watch_certificate(self) -> None:
        """Use a renewed certificate from the next handshake on; one that does not load leaves the old one."""
        cert, key = self._tls
        seen = _changed_at(cert)
        while cert is not None and key is not None:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            now = _changed_at(cert)
            if now == seen or self._server.config.ssl is None:
                continue
            seen = now
            try:
                self._server.config.ssl.load_cert_chain(cert, key)
            except (OSError, ssl.SSLError) as fault:
                emit(EdgeFailed("admin_certificate", type(fault).__name__, fault_place(fault)))


def _context(core: Core, reloader: Reloader, knowledge: Knowledge, address: str, origin: str) -> AdminContext:
    settings = core.holder.loaded.settings
    admin = settings.admin
    again = admin.oidc.session_minutes * 60_000 if admin.oidc else 0
    limits = Limits(admin.session_idle_minutes * 60_000, admin.session_hours * 3_600_000, again)
    name = settings.deployment.name
    metrics_token = MetricsToken(admin.metrics_token_file)
    metrics_token.check()
    return AdminContext(
        name=name,
        zone=core.zone,
        secure=origin.startswith("https://"),
        registry=core.registry,
        people=core.people,
        admins=core.admins,
        access=core.access,
        overview=Overview(core.database),
        decisions=DecisionSearch(core.database),
        evidence=core.evidence,
        staff_use=core.staff_use,
        filings=Filings(core.database, core.zone),
        incidents=SqlIncidents(core.database, core.zone),
        sessions=Sessions(core.access, core.pepper, core.zone, limits),
        ceremonies=Ceremonies(origin, name),
        provider=Provider(admin.oidc, origin) if admin.oidc is not None else None,
        door=Door(origin, address, admin.trusted_proxies, tls=admin.tls_cert is not None),
        attempts=Attempts(),
        pending=Pending(),
        refusals=Refusals(),
        knowledge=knowledge,
        intake=Intake(knowledge.shelf.folder),
        settings=lambda: core.holder.loaded.settings,
        packs=lambda: core.holder.loaded.packs,
        limits=lambda: _limits(core),
        status=lambda: _status(core),
        relay=lambda: run_in_threadpool(_relay, settings.zone.admin_listen),
        relay_metrics=lambda: run_in_threadpool(_relay_text, settings.zone.admin_listen),
        setup=setup_desk(core, reloader),
        simulations=Simulations(core.holder).desk(),
        reload=reloader.reload,
        link=lambda made: enrol_link(settings, made),
        is_metrics_token=metrics_token.is_this,
        metrics=lambda: metrics_text() + meters_text() + _gauges(core),
    )


def enrol_link(settings: Settings, made: NewInvite) -> str:
    """The address a person opens once; the secret is a fragment, which no server or log gets to see."""
    return f"{settings.admin.origin(settings.zone.admin_listen)}/enrol#{made.text}"


def _limits(core: Core) -> list[dict[str, Any]]:
    now, loaded = now_ms(), core.holder.loaded
    taken: dict[str, list[tuple[int, int]]] = {}
    for state in core.budgets.states():
        if state.ends > now:
            taken.setdefault(state.limit, []).append((state.spent, state.held))
    rows = []
    for limit in core.book.limits():
        open_now = taken.get(limit.id, [])
        spent, held = max(open_now, key=sum, default=(0, 0))
        unkept = faults([limit], loaded.attempts, loaded.prices, now)
        used = {"windows": len(open_now), "spent": spent, "held": held, "faults": unkept}
        rows.append({**limit.model_dump(), **used})
    return rows


def _status(core: Core) -> dict[str, Any]:
    loaded = core.holder.loaded
    packs = [
        {"id": pack.id, "kind": pack.kind, "version": pack.version, "status": pack.status}
        for pack in loaded.packs.packs.values()
    ]
    return {
        "zone": core.zone,
        "stage": loaded.settings.deployment.stage,
        "config": loaded.config_digest,
        "rulesets": loaded.ruleset_digests(),
        "models": sorted(loaded.attempts),
        "packs": packs,
        "seq": core.newest_seq(),
    }


def _relay(admin_listen: str) -> dict[str, Any]:
    """How the relay does by its own metrics."""
    text = _relay_text(admin_listen)
    told = {name: int(value) for name, value in _GAUGE.findall(text)}
    return {
        "answers": bool(text),
        "contact": told.get("dragoman_contact") == 1,
        "changes_seq": told.get("dragoman_changes_seq"),
        "journal_entries": told.get("dragoman_journal_entries_total"),
    }


def _relay_text(admin_listen: str) -> str:
    """The relay's metrics, empty where it does not answer; its listener answers to loopback names."""
    host, _, port = admin_listen.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=RELAY_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.read(RELAY_BYTES).decode("utf-8", "replace") if answer.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def _gauges(core: Core) -> str:
    """This process, and what waits in it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    lines = [
        f"dragoman_control_cpu_seconds_total {used.ru_utime + used.ru_stime:.3f}",
        f"dragoman_control_resident_bytes {_resident(used.ru_maxrss)}",
        f"dragoman_control_writes_waiting {core.database.waiting()}",
        f"dragoman_control_changes_seq {core.newest_seq()}",
    ]
    overview = Overview(core.database)
    lines.append(f"dragoman_control_acts_waiting {overview.waiting_acts()}")
    lines += [
        f'dragoman_control_journal_next{{log="{cursor["log"]}"}} {cursor["next"]}'
        for cursor in overview.cursors()
    ]
    return "\n".join(lines) + "\n"


def _resident(most_kib: int) -> int:
    """Bytes resident now where the system tells, else the most there were."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return most_kib << 10
    return pages * resource.getpagesize()


def _changed_at(file: Path | None) -> int:
    try:
        return 0 if file is None else file.stat().st_mtime_ns
    except OSError:
        return 0


def _listen(address: str, kind: type[socket.socket]) -> socket.socket:
    host, _, port = address.rpartition(":")
    name = host.strip("[]").replace("localhost", "127.0.0.1")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    # The event loop sets TCP_NODELAY only where the protocol is named; without it each answer waits 40 ms.
    sock = kind(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((name, int(port)))
    except OSError as fault:
        sock.close()
        advice = 'admin.listen = "127.0.0.1:PORT" (DRAGOMAN_ADMIN__LISTEN)'
        why = by_system(fault)
        raise ConfigError(
            [
                Sentence(
                    f"admin.listen: cannot listen on {address}: {why}; set {advice}, or `off`",
                    f"admin.listen：无法监听 {address}（{why.zh}）；请设 {advice}，或写 `off`",
                )
            ]
        ) from fault
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock
