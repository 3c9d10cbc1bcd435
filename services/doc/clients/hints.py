"""Hints of jobs over the fan-out: whoever watches a job looks again at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.storage.fanout import Fanout, Subscription


class FanoutHints:
    """A services.doc.domain.jobs.ports.Hints."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout

    async def changed(self, job_id: str) -> None:
        await self._fanout.publish(_channel(job_id), b"")

    @asynccontextmanager
    async def watching(self, job_id: str) -> AsyncGenerator[_Listening]:
        async with self._fanout.subscribe(_channel(job_id), limit=1) as subscription:
            yield _Listening(subscription)


class _Listening:
    """A services.doc.domain.jobs.ports.Watching."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def next(self, timeout_s: float) -> None:
        await self._subscription.get(timeout_s)


def _channel(job_id: str) -> str:
    return f"doc.job.{job_id}"
