"""Who may search now: few at once, of one person one, so that nobody's searches hold up anybody's reading.

API and page take their places here. All on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from dragoman.assistants.conversations import Person
from dragoman.errors import UnavailableError

SEARCHES = 1
"""LIMIT: searches at once: the zone has four readers, of which list and turns need the others."""
WAIT_S = 5.0
"""LIMIT: seconds that a search waits for its turn."""


class SearchPlaces:
    """The zone's places for searches."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(SEARCHES)
        self._own: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        """One for each person who searches or waits; who sends many stands in the line once."""

    @asynccontextmanager
    async def place(self, person: Person) -> AsyncIterator[None]:
        """A place for a search of this person. Raises UnavailableError where none comes free."""
        own = self._own.setdefault((person.tenant, person.principal), asyncio.Lock())
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(WAIT_S):
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._free)
            except TimeoutError:
                raise UnavailableError("several searches are running; try again") from None
            yield
