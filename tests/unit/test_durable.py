"""A write is awaited across threads: its result, its refusal, the disk's fault as 503, and a waiter who is gone."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest
from sqlalchemy.exc import OperationalError

from dragoman.control.durable import durable
from dragoman.errors import RefusedError, UnavailableError


async def awaited(settle: str | BaseException, *, before: bool) -> str:
    """Await a write that another thread settles, before it is asked or while it is waited for."""
    write: Future[str] = Future()

    def work() -> None:
        if isinstance(settle, BaseException):
            write.set_exception(settle)
        else:
            write.set_result(settle)

    thread = threading.Thread(target=work)
    if before:
        thread.start()
        thread.join()
        return await durable(write)
    waiting = asyncio.ensure_future(durable(write))
    await asyncio.sleep(0)
    assert not waiting.done()
    thread.start()
    return await waiting


@pytest.mark.parametrize("before", [True, False])
def test_what_the_write_gave(before: bool) -> None:
    assert asyncio.run(awaited("kept", before=before)) == "kept"
    refused = RefusedError(409, "turn_running", {"en": "runs", "zh": "进行中"})
    with pytest.raises(RefusedError) as told:
        asyncio.run(awaited(refused, before=before))
    assert told.value is refused
    with pytest.raises(UnavailableError) as full:
        asyncio.run(awaited(OperationalError("INSERT", {}, OSError("disk")), before=before))
    assert isinstance(full.value.__cause__, OperationalError)


def test_a_waiter_who_is_gone_does_not_undo_the_write() -> None:
    async def left(write: Future[str]) -> None:
        waiting = asyncio.ensure_future(durable(write))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert write.set_running_or_notify_cancel(), "it goes on"
        write.set_result("kept")
        await asyncio.sleep(0)

    write: Future[str] = Future()
    asyncio.run(left(write))
    assert write.result(0) == "kept"
    late: Future[str] = Future()

    async def ended() -> None:
        waiting = asyncio.ensure_future(durable(late))
        await asyncio.sleep(0)
        assert not waiting.done()

    asyncio.run(ended())
    late.set_result("kept")  # its loop is closed: nobody is told, nothing is raised
    assert late.result(0) == "kept"
