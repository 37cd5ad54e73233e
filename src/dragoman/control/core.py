"""The zone's application without sockets, shared by control and the offline command line.

Opening it takes the zone's lock; closing gives it back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from dragoman.accounts.classes import Classes
from dragoman.accounts.newcomers import Newcomers
from dragoman.accounts.pepper import open_pepper
from dragoman.accounts.principals import Principals
from dragoman.accounts.registry import DEFAULT_TENANT, Registry
from dragoman.admin.people import People
from dragoman.assistants.erasure import Eraser
from dragoman.assistants.turns import admit
from dragoman.budgets.allotments import Allotments
from dragoman.budgets.book import Book
from dragoman.control.asgi import Routes
from dragoman.control.budget_verbs import BudgetVerbs
from dragoman.control.loaded import Holder, Loaded
from dragoman.control.moving import MoveVerbs
from dragoman.control.planner import Planner
from dragoman.control.retention import Retention
from dragoman.control.staff_watch import StaffWatch
from dragoman.control.turns import EXPIRE_ROUNDS, Chore
from dragoman.core.accounts import Change, TenantRecord
from dragoman.errors import ConfigError
from dragoman.ids import now_ms
from dragoman.policy.data_classes import declared
from dragoman.sentences import Sentence
from dragoman.stores.accounts import SqlAccounts
from dragoman.stores.acts import changes_after, newest_seq, publish
from dragoman.stores.admin_access import SqlAccess
from dragoman.stores.admins import SqlAdmins
from dragoman.stores.appeals import SqlAppeals
from dragoman.stores.budgets import Budgets
from dragoman.stores.conversations import SqlConversations
from dragoman.stores.database import Database, ZoneLock
from dragoman.stores.evidence import SqlEvidence
from dragoman.stores.interventions import Interventions
from dragoman.stores.journal import JournalCursors
from dragoman.stores.migrate import columns_of, migrate
from dragoman.stores.moving import Moves
from dragoman.stores.outbox import Outbox
from dragoman.stores.people import SqlPeople
from dragoman.stores.retention import RetentionRows
from dragoman.stores.search import SqlSearch
from dragoman.stores.staff_use import StaffUse
from dragoman.stores.turns import SqlTurns
from dragoman.stores.usage import UsageRows

DATABASE = "zone.db"
CODES_AT_ONCE = 500
"""LIMIT: codes, and windows, that are forgotten in one transaction."""
STAFF_ROUNDS = 10 * EXPIRE_ROUNDS
"""Every how many rounds keys of staff are looked at: every ten minutes."""
PEPPER = Path("secrets") / "pepper"


class Core:
    """One zone, open in this process alone."""

    def __init__(self, loaded: Loaded, lock: ZoneLock | None = None) -> None:
        """Open the zone of a reading, under a lock already taken or its own."""
        zone = loaded.settings.zone
        self.zone = zone.id
        self.lock = lock or ZoneLock(zone.data)
        self.backup = migrate(zone.data / DATABASE)
        _check_declared(zone.data / DATABASE)
        self.database = Database(zone.data / DATABASE)
        self.pepper = pepper = open_pepper(zone.data / PEPPER)
        store = SqlAccounts(self.database, zone.id)
        addresses = {name: other.address for name, other in loaded.settings.zones.items()}
        self.holder = Holder(loaded)
        self.classes = Classes(store, pepper)
        self.signed_up = SqlPeople(self.database, zone.id)
        self.budgets = Budgets(self.database, zone.id)
        self.usage = UsageRows(self.database)
        self.book = Book(self.holder.limits, self.budgets)
        self.allotments = Allotments(
            self.book, self.budgets, lambda: self.holder.loaded.settings.zone.allotment_ms
        )
        self.principals = Principals(
            store,
            pepper,
            self.classes,
            zone.id,
            addresses,
            self.book.of_key,
            self.is_local,
            Newcomers(self._guests_a_minute).admit,
            lambda tenant, who: self.conversations.read(tenant, lambda rows: admit(rows, who)),
            self.signed_up.known,
        )
        self.registry = Registry(store, pepper, zone.id)
        self.planner = Planner(self.holder, self.classes.facts, self._slug, self.book)
        self.interventions = Interventions(self.database)
        self.cursors = JournalCursors(self.database, zone.id)
        self.outbox = Outbox(self.database)
        self.turns = SqlTurns(self.database)
        self.conversations = SqlConversations(self.database, zone.id)
        self.eraser = Eraser(self.conversations)
        self.retention = Retention(self.holder, RetentionRows(self.database, zone.id), self.conversations)
        self.appeals = SqlAppeals(self.database, zone.id)
        self.evidence = SqlEvidence(self.database, zone.id)
        self.staff_use = StaffUse(self.database, zone.id)
        self.search = SqlSearch(self.database)
        self.admins = SqlAdmins(self.database, zone.id)
        self.access = SqlAccess(self.database, zone.id)
        self.people = People(self.admins, pepper, zone.id)
        self.ensure_tenants()

    def ensure_tenants(self) -> None:
        """Create the tenants the file names, and the default one."""
        self.registry.ensure_tenant(DEFAULT_TENANT, "Default")
        for slug, tenant in self.holder.loaded.settings.tenants.items():
            self.registry.ensure_tenant(slug, tenant.title or slug)

    def _slug(self, tenant: str) -> str | None:
        """The name by which the file knows a tenant."""
        found = self.registry.tenant(tenant)
        return found.slug if found else None

    def is_local(self) -> bool:
        """Whether this is stage `local`, where guests may pretend."""
        return self.holder.loaded.settings.deployment.stage == "local"

    def chores(self) -> tuple[Chore, ...]:
        """What the zone's sweep does besides: erasures that were left, windows that are over."""
        return (
            Chore(EXPIRE_ROUNDS, self.eraser.resume),
            Chore(EXPIRE_ROUNDS, lambda stopping: self.budgets.forget_over(now_ms(), stopping)),
            Chore(EXPIRE_ROUNDS, self.forget_codes),
            Chore(STAFF_ROUNDS, StaffWatch(self.staff_use, self.holder, self._slug).look),
        )

    def forget_codes(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Forget codes to phones, and what was sent where, once no bound looks at them; how many."""
        gone = 0
        while not stopping():
            step = self.signed_up.forget(now_ms(), CODES_AT_ONCE)
            gone += step
            if step < CODES_AT_ONCE:
                break
        return gone

    def _guests_a_minute(self) -> int | None:
        """How many new guests a public port keeps; at one's own machine whoever sits there."""
        settings = self.holder.loaded.settings
        return None if settings.deployment.stage == "local" else settings.edge.guest_turns_per_minute

    def guest_tenant(self) -> TenantRecord:
        """The tenant guests of the pages belong to."""
        return self.registry.ensure_tenant(DEFAULT_TENANT, "Default")

    def newest_seq(self) -> int:
        """The newest change's seq."""
        return self.database.read(newest_seq)

    def changes_after(self, seq: int) -> list[tuple[int, Change]]:
        """Committed changes after a seq."""
        return self.database.read(lambda connection: changes_after(connection, seq))

    def publish(self, changes: list[Change]) -> None:
        """Publish changes together, durably."""

        def work(connection: sa.Connection) -> None:
            for change in changes:
                publish(connection, change, now_ms())

        self.database.write(work)

    def budget_verbs(self, routes: Routes) -> Routes:
        """The routes with those on limits, prices and usage among them."""
        verbs = BudgetVerbs(self.holder, self.registry, self.book, self.budgets, self.usage)
        return verbs.added_to(routes)

    def move_verbs(self, routes: Routes) -> Routes:
        """The routes with those on moving house among them."""
        moves = Moves(self.database, self.zone)
        verbs = MoveVerbs(moves, self.signed_up, self.registry, self.eraser, self.pepper, self.holder)
        return verbs.added_to(routes)

    def close(self) -> None:
        """Finish writes and give the folder back."""
        self.database.close()
        self.lock.release()


def _check_declared(file: Path) -> None:
    """Raise ConfigError for what is in no data class: nobody could say where it may lie or when it goes."""
    if strange := declared().undeclared(columns_of(file)):
        told = ", ".join(strange)
        said = Sentence(
            f"{file}: {told}: in no class of policy/data_classes.toml. "
            "What another program put there has to go; a table of ours has to be declared",
            f"{file}：{told} 不属于 policy/data_classes.toml 中的任何类别。"
            "由其他程序放入的须移除；自有的表须予声明",
        )
        raise ConfigError([said])
