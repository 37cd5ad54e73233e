"""Awaits a write of the database; what the disk refuses becomes 503, told in the log without its words."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from dragoman.assistants import removal
from dragoman.core.conversations import ConversationStore
from dragoman.errors import UnavailableError
from dragoman.events import EdgeFailed, emit, fault_place

T = TypeVar("T")


async def durable(write: Future[T]) -> T:
    """What the write gave, once it is durable. UnavailableError where the database could not keep it."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    write.add_done_callback(lambda _: _wake(loop, over))
    await over
    try:
        return write.result()
    except SQLAlchemyError as fault:
        emit(EdgeFailed("database", type(fault).__name__, fault_place(fault)))
        raise UnavailableError("The record cannot be kept right now; try again.") from fault


def _wake(loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]) -> None:
    """On the writer's thread: what the library's own bridge does, without its copies of result and error."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(_end, over)


def _end(over: asyncio.Future[None]) -> None:
    if not over.done():  # who waited may be gone; the write stands all the same
        over.set_result(None)


async def removed(store: ConversationStore, tenant: str, conversation: str, turns: int | None) -> int:
    """How many turns a conversation had, once it is erased: what the first step gave, else the last."""
    while turns is None:
        turns = await durable(store.submit(tenant, lambda rows: removal.step(rows, conversation)))
    return turns
