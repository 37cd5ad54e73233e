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
    try:
        return await asyncio.wrap_future(write)
    except SQLAlchemyError as fault:
        emit(EdgeFailed("database", type(fault).__name__, fault_place(fault)))
        raise UnavailableError("The record cannot be kept right now; try again.") from fault


async def removed(store: ConversationStore, tenant: str, conversation: str, turns: int | None) -> int:
    """How many turns a conversation had, once it is erased: what the first step gave, else the last."""
    while turns is None:
        turns = await durable(store.submit(tenant, lambda rows: removal.step(rows, conversation)))
    return turns
