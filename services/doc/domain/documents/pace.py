"""Work on texts that takes long is done beside the event loop, so that others are answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

INLINE = 16 * 1024
"""Characters: what is read, compared or merged in some milliseconds."""

P = ParamSpec("P")
T = TypeVar("T")


async def paced(size: int, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns; in a thread when it is about more than a few characters (`size`)."""
    if size <= INLINE:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
