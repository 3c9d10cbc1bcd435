"""Calls that stream their requests, with the true reason when the server ended them early.

grpc.aio takes a write that comes after the end of a call for an internal error of its own, and forgets the status that
the server gave: a service that refuses an upload would look broken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc

_LATE_WRITE = "Internal error from Core"
_STATUS_LIMIT_S = 2.0


async def reply_of(call: Any) -> Any:
    """The one response of a stream-unary `call` that has just begun. Raises AioRpcError with what the server said."""
    ending = Ending(call)
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise await ending.true(error) from None


class Ending:
    """How a call ended by the server's word. Make it before the first write."""

    def __init__(self, call: Any) -> None:
        self._status: asyncio.Future[grpc.aio.AioRpcError] = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._note)

    async def true(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """What the server said, where `error` only says that a write came too late; else `error`."""
        if not _is_late_write(error):
            return error
        done, _ = await asyncio.wait([self._status], timeout=_STATUS_LIMIT_S)
        return self._status.result() if done else error

    def _note(self, call: Any) -> None:
        status = grpc.aio.AioRpcError(
            _now(call.code()),
            _now(call.initial_metadata()),
            _now(call.trailing_metadata()),
            details=_now(call.details()),
        )
        if not _is_late_write(status) and not self._status.done():
            self._status.set_result(status)


def _now(answer: Coroutine[Any, Any, Any]) -> Any:
    """The value of a coroutine that waits for nothing, as those do that tell the status of a call that is done."""
    try:
        answer.send(None)
    except StopIteration as stop:
        return stop.value
    answer.close()
    raise RuntimeError("a call that is done should know its status")


def _is_late_write(error: grpc.aio.AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.INTERNAL and (error.details() or "").startswith(_LATE_WRITE)
