"""Looks every ten minutes whether a key that speaks for staff alone serves others; keeps what it finds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from dragoman.accounts.staff_signs import DAY_MS, Use, signs
from dragoman.control.loaded import Holder
from dragoman.ids import now_ms
from dragoman.stores.staff_use import StaffUse

SlugOf = Callable[[str], str | None]


class StaffWatch:
    """The look, over what is kept and what the file says of each tenant."""

    def __init__(
        self, use: StaffUse, holder: Holder, slug_of: SlugOf, clock: Callable[[], int] = now_ms
    ) -> None:
        self._use = use
        self._holder = holder
        self._slug_of = slug_of
        self._clock = clock

    def look(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """How many keys are doubted by what they did in the last day. Durable when it returns."""
        now, found = self._clock(), {}
        day = dt.datetime.fromtimestamp(now / 1000, dt.UTC).date().isoformat()
        for tenant, key in self._use.staff_keys():
            if stopping():
                return 0
            stated = self._holder.loaded.settings.tenants.get(self._slug_of(tenant) or "")
            used = [Use(**one) for one in self._use.turns(tenant, key, now - DAY_MS)]
            staff = None if stated is None else stated.staff
            against = signs(used, self._use.turns_of_day(tenant, key, day), staff)
            if against:
                found[tenant, key] = against
        return self._use.keep(found, now)
