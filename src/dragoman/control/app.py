"""The composition root of control: opens the zone and serves its three sockets, each on a thread of its own.

Everything is wired here and nowhere else; nothing below knows how it was put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from dragoman.accounts.evidence import Manual
from dragoman.accounts.keys import KeyText
from dragoman.accounts.sessions import SESSION_MS
from dragoman.assistants.search_places import SearchPlaces
from dragoman.control import pretence
from dragoman.control.admin_app import AdminSocket
from dragoman.control.admin_listener import AdminListener, enrol_link
from dragoman.control.appeals import AppealRoutes
from dragoman.control.changes import ChangeFeed
from dragoman.control.conversation_verbs import ConversationVerbs
from dragoman.control.conversations import ConversationRoutes
from dragoman.control.core import DATABASE, Core
from dragoman.control.counted import Recount, counted, with_counts
from dragoman.control.entry import Asked, parts_of, served
from dragoman.control.evidence import EvidenceRoutes
from dragoman.control.indexing import SearchIndexer
from dragoman.control.journal_feed import JournalFeed
from dragoman.control.live import LiveQuestions
from dragoman.control.loaded import read_all
from dragoman.control.own_log import OwnLog
from dragoman.control.pages_app import OwnRoutes, pages_app
from dragoman.control.plan_app import PlanSocket
from dragoman.control.planner import place_of
from dragoman.control.public_gate import check_administrator
from dragoman.control.relay_config import SESSION_COOKIE, registry_folder, run_folder, write_relay_config
from dragoman.control.reload import Reloader
from dragoman.control.residual import Residuals
from dragoman.control.rule_check import compile_rules
from dragoman.control.signup import SignupRoutes
from dragoman.control.signup_desk import SignupDesk
from dragoman.control.sms import HttpGateway
from dragoman.control.sockets import SocketServer, listen
from dragoman.control.statements import Statements
from dragoman.control.telemetry import open_telemetry
from dragoman.control.turn_record import record_of
from dragoman.control.turns import EXPIRE_ROUNDS, Chore, TurnDesk, TurnSweep
from dragoman.control.usage_route import UsageRoute
from dragoman.control.user_tokens import UserTokenRoutes
from dragoman.events import ControlReady, emit
from dragoman.ids import now_ms
from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.model import Asker
from dragoman.knowledge.provider import local_provider
from dragoman.settings import LOCAL_MODEL, Settings, find_file
from dragoman.stores.database import ZoneLock
from dragoman.web.context import Guest, PagesContext
from dragoman.web.entry import Entry, Served
from dragoman.web.kept import Kept
from dragoman.web.pages import pages
from dragoman.web.placement import Placed
from dragoman.web.turn import TurnClient

SOCKETS = ("plan", "pages", "admin")
COUNT_ROUNDS = 5 * EXPIRE_ROUNDS
"""Every how many rounds the sweep counts registered people: every five minutes."""
KNOWLEDGE = "knowledge"
"""The knowledge's folder in the zone's data folder."""


class Control:
    """A running control of one zone."""

    def __init__(self, file: Path | None, told: Callable[[Settings], None] = lambda _: None) -> None:
        """Open the zone. `told` runs as soon as a relay can start: its questions wait in our sockets."""
        loaded = read_all(file, compile_rules)
        self.settings = loaded.settings
        check_administrator(self.settings, self.settings.zone.data / DATABASE)
        lock = ZoneLock(self.settings.zone.data)
        write_relay_config(loaded.relay, run_folder(self.settings))
        run = run_folder(self.settings)
        waiting = {name: listen(run / f"{name}.sock") for name in SOCKETS}
        told(self.settings)
        self.core = core = Core(loaded, lock)
        self.telemetry = open_telemetry(self.settings)
        self.live = LiveQuestions(core.planner.plan)
        self.feed = ChangeFeed(core.changes_after, core.newest_seq())
        core.database.on_publish = self.feed.committed
        self.reloader, self.recount = self._reading(file)
        self.knowledge = knowledge = Knowledge(self.settings.zone.data / KNOWLEDGE)
        turns = TurnDesk(core.turns, Residuals(core.planner, core.holder), core.holder)
        self.sweep = TurnSweep(
            core.turns, turns.watch, chores=(*core.chores(), Chore(COUNT_ROUNDS, self.recount.look))
        )
        self.indexer = SearchIndexer(core.search)
        plan = PlanSocket(
            holder=core.holder,
            principals=core.principals,
            classes=core.classes,
            planner=core.planner,
            live=self.live,
            changes=self.feed,
            interventions=core.interventions,
            journal=JournalFeed(core.cursors, self.telemetry.turns if self.telemetry else lambda _: None),
            allotments=core.allotments,
            turns=turns,
        )
        self.admin: AdminListener | None = None
        self.log = OwnLog(registry_folder(self.settings), core.outbox, self.settings.zone.id)
        core.database.on_entry = self.log.entered
        own = OwnRoutes(core.holder, core.planner, core.principals, core.interventions)
        self._searches = SearchPlaces()
        self._signup = SignupDesk(
            core.signed_up,
            core.principals,
            core.pepper,
            core.holder,
            HttpGateway(),
            core.interventions,
            tenant=core.guest_tenant,
        )
        self._evidence = EvidenceRoutes(core.evidence, core.zone, Manual())
        context = self._pages_context(knowledge)
        site = pages_app(
            own, self._table(context), core.principals, context.mint_session, secure=context.secure
        )
        admin = AdminSocket(
            core.holder, core.registry, core.people, self.reloader.reload, core.database.snapshot
        )
        conversations = ConversationVerbs(core.conversations, core.registry, core.eraser)
        verbs = core.retention.added_to(
            conversations.added_to(core.move_verbs(core.budget_verbs(admin.app())))
        )
        self.plan_socket = SocketServer(
            run / "plan.sock",
            plan.app(Starlette(routes=local_provider(knowledge, self._asker))),
            waiting["plan"],
        )
        self.pages_socket = SocketServer(run / "pages.sock", site, waiting["pages"])
        self.admin_socket = SocketServer(run / "admin.sock", verbs, waiting["admin"])

    def _table(self, context: PagesContext) -> list[BaseRoute]:
        """Control's own `/v1` table but what callers see of themselves there, and the pages."""
        core = self.core
        return [
            *ConversationRoutes(
                core.conversations,
                core.zone,
                core.is_local,
                lambda whole: record_of(self.settings.zone.data, core.zone, whole),
                self._searches,
            ).routes(),
            *UsageRoute(core.usage).routes(),
            *SignupRoutes(self._signup, secure=context.secure).routes(),
            *self._evidence.routes(),
            *UserTokenRoutes(
                core.signed_up, core.principals, lambda: core.holder.loaded.settings.zone.country
            ).routes(),
            *AppealRoutes(core.appeals, core.zone, lambda: core.holder.loaded.settings.deployment).routes(),
            *pages(context),
        ]

    def _reading(self, file: Path | None) -> tuple[Reloader, Recount]:
        """What keeps the reading in use up to date: with its files, and with what the zone counts."""
        core = self.core
        counts = counted(core.signed_up)
        core.holder.swap(with_counts(core.holder.loaded, counts))
        reloader = Reloader(
            core.holder,
            # A file that was read must stay there; where none was, one may appear.
            lambda: read_all(core.holder.loaded.file or find_file(file), compile_rules),
            core.publish,
            self.live,
            core.ensure_tenants,
            counts,
        )
        return reloader, Recount(core.signed_up, lambda: core.holder.loaded.packs, counts, reloader.recounted)

    def open_admin(self) -> None:
        """Have administrators served too, on a port of their own. Raises ConfigError where it is taken."""
        if self.settings.admin.address(self.settings.zone.admin_listen) is not None:
            self.admin = AdminListener(self.core, self.reloader, self.knowledge)

    def first_link(self) -> str | None:
        """The one-time link of this start, while nobody can log in to a listener that is open."""
        made = self.core.people.first_invite() if self.admin is not None else None
        return enrol_link(self.settings, made) if made is not None else None

    def _asker(self, real: Asker, klass: str) -> Asker:
        """Whom an asker of this class counts as where documents are searched."""
        return pretence.asker(real, self.core.classes.facts(klass), self.core.holder.loaded.settings)

    def _pages_context(self, knowledge: Knowledge) -> PagesContext:
        """What the pages need: knowledge, the relay's turns, and guests."""
        principals = self.core.principals

        def session(cookie: str) -> Guest | None:
            found = principals.session(cookie, now_ms())
            return Guest(found.tenant, found.principal) if found else None

        return PagesContext(
            knowledge=knowledge,
            turns=TurnClient(run_folder(self.settings) / "turn.sock"),
            session=session,
            mint_session=lambda: principals.new_guest(self.core.guest_tenant().tenant, now_ms()),
            keep_guest=lambda guest: principals.keep_guest(*guest, now_ms()),
            simulate=lambda guest, wanted: principals.simulate(*guest, wanted, now_ms()),
            simulated=lambda guest: principals.simulated(*guest),
            simulates=self.core.is_local,
            declare=lambda guest, wanted: principals.declare(*guest, wanted, now_ms()),
            declares=lambda guest: principals.may_declare(guest.principal),
            declared=lambda guest: principals.declared(*guest),
            contact=lambda: self.core.holder.loaded.settings.deployment.contact,
            placed=self._placed,
            entry=Entry(self._served, lambda: parts_of(self.core.holder.loaded.packs)),
            appeals=self.core.appeals,
            statement=Statements(self.core.holder, self.core.interventions).of,
            signup=self._signup,
            evidence=self._evidence,
            kept_days=self.core.retention.days,
            kept=Kept(self.core.conversations, self._searches),
            keeps=self.core.is_local,
            model=LOCAL_MODEL,
            writes=self._writes,
            name=self.settings.deployment.name,
            session_cookie=SESSION_COOKIE,
            session_seconds=SESSION_MS // 1000,
            secure=self.settings.public_url().startswith("https://"),
        )

    def _writes(self) -> bool:
        settings = self.core.holder.loaded.settings
        return settings.providers[settings.models[LOCAL_MODEL].provider].kind != "local"

    def _served(self, country: str, part: str | None) -> Served:
        """Which zone serves people who live there."""
        loaded = self.core.holder.loaded
        return served(Asked(loaded.settings, loaded.packs, loaded.world), country, part, now_ms())

    def _placed(self, address: Mapping[str, Any]) -> Placed | None:
        """Where a guest's turn would take its person to be; in stage `local` guests choose that."""
        if self.core.is_local():
            return None
        settings = self.core.holder.loaded.settings
        return Placed(*place_of(address, settings.zone.country), settings.deployment.contact)

    def adopt_development_key(self, text: KeyText | None) -> KeyText | None:
        """Mint the development key of this start, in stage `local` only."""
        if self.settings.deployment.stage != "local":
            return None
        return self.core.registry.adopt_development_key(text)

    def start(self) -> None:
        """Serve; returns when every socket answers."""
        for socket in (self.plan_socket, self.pages_socket, self.admin_socket):
            socket.start()
        if self.plan_socket.loop is not None:
            self.feed.attach(self.plan_socket.loop)
        self.reloader.start()
        if self.admin is not None:
            self.admin.start()
        self.log.start()
        self.sweep.start()
        self.indexer.start()
        self.core.retention.start()
        emit(ControlReady(self.core.zone, self.core.holder.loaded.config_digest))

    def stop(self) -> None:
        """Close in the order in which nothing acknowledged is lost."""
        self.reloader.stop()
        self.sweep.stop()
        self.indexer.stop()
        self.core.retention.stop()
        if self.admin is not None:
            self.admin.stop()
        for socket in (self.admin_socket, self.pages_socket, self.plan_socket):
            socket.stop()
        self.log.stop()
        if self.telemetry is not None:
            self.telemetry.close()
        self.core.close()
