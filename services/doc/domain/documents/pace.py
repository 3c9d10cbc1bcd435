"""Work on texts that takes long is done beside the event loop, so that others are answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

INLINE = 16 * 1024
"""Characters: what is read, compared or merged in some milliseconds."""

LONG = 128 * 1024
"""Characters: what may take seconds, and hinders everybody when many do it at once."""
AT_ONCE = 2

P = ParamSpec("P")
T = TypeVar("T")


async def paced(size: int, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns; in a thread when it is about more than a few characters (`size`)."""
    if size <= INLINE:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


class Lane:
    """Work for many callers. Of what is long, some is done at a time: the rest waits without a thread."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._slots = asyncio.Semaphore(at_once)

    async def run(self, size: int, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns, done in a thread; see `turn`."""
        return await self.turn(size, asyncio.to_thread, work, *args, **kwargs)

    async def turn(
        self, size: int, work: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for work that waits itself. A caller who goes takes it along, unless it has begun: a thread does
        not stop, so it keeps its place.
        """
        if size <= LONG:
            return await work(*args, **kwargs)
        await self._slots.acquire()
        doing = asyncio.ensure_future(work(*args, **kwargs))
        doing.add_done_callback(self._done)
        return await asyncio.shield(doing)

    def _done(self, doing: asyncio.Future[T]) -> None:
        self._slots.release()
        if not doing.cancelled():
            doing.exception()  # somebody may have gone: nobody else asks for it
