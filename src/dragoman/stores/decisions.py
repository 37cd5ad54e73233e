"""Kept decisions looked through to be forgotten: old ones that no kept turn and no appeal names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import sqlalchemy as sa

from dragoman.stores.database import Database
from dragoman.stores.schema import appeals, decisions
from dragoman.stores.tenancy import rows_of
from dragoman.stores.turn_tables import turns

KEPT_MS = 200 * 86_400_000
"""LIMIT: how long a decision is kept after it was last made; longer than the six months of any window for
complaints in the packs."""
RENEWED_MS = 86_400_000
"""How old the note of when a decision was last made may get before it is made anew."""
AT_ONCE = 200
"""LIMIT: decisions looked at in one step."""

_PLACE = (decisions.c.at, decisions.c.tenant, decisions.c.decision)


def forget_decisions(database: Database, now: int, stopping: Callable[[], bool] = lambda: False) -> int:
    """Forget what is due (`now`: ms UTC), in steps, a transaction each; how many."""
    due = decisions.c.at < now - KEPT_MS
    forgotten, after = 0, (0, "", "")
    while not stopping():
        query = sa.select(*_PLACE).where(due, sa.tuple_(*_PLACE) > after).order_by(*_PLACE).limit(AT_ONCE)
        looked = database.read(lambda c, q=query: [tuple(row) for row in c.execute(q)])  # type: ignore[misc]
        of_tenants = defaultdict(list)
        for _, tenant, name in looked:
            of_tenants[tenant].append(name)
        for tenant, names in of_tenants.items():
            forgotten += database.write(_forget(tenant, names, due))
        if len(looked) < AT_ONCE:
            break
        after = looked[-1]
    return forgotten


def _forget(tenant: str, names: list[str], due: sa.ColumnElement[bool]) -> Callable[[sa.Connection], int]:
    named = sa.exists().where(turns.c.tenant == tenant, turns.c.decision == decisions.c.decision)
    objected = sa.select(appeals.c.about).where(appeals.c.tenant == tenant)
    these = (decisions.c.decision.in_(names), due, ~named, decisions.c.decision.not_in(objected))
    return lambda connection: rows_of(connection, tenant).delete(decisions, *these)
