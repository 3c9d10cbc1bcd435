"""Argon2id in a small thread pool: two at a time is what a small machine bears, and the queue behind it is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import argon2
from argon2.exceptions import VerifyMismatchError

from automesh.core.errors import Exhausted
from services.auth.domain.passwords import Verdict

T = TypeVar("T")

RETRY_AFTER = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Cost:
    """What a guess costs: OWASP's minimum, about 50 ms of one core and 19 MiB."""

    memory_kib: int = 19 * 1024
    passes: int = 2
    lanes: int = 1


class Argon2Hasher:
    """A services.auth.domain.passwords.PasswordHasher. Close it to end its threads."""

    def __init__(self, cost: Argon2Cost | None = None, *, threads: int = 2, queue: int = 32) -> None:
        cost = cost or Argon2Cost()
        self._argon2 = argon2.PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes, type=argon2.Type.ID
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._limit = threads + queue
        self._pending = 0
        # Compared with where there is no user, so that the answer takes as long as for one.
        self._nobody = self._argon2.hash("a password that nobody has")

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, password: str, hashed: str | None) -> Verdict:
        return await self._run(lambda: self._verify(password, hashed))

    def close(self) -> None:
        """Ends the threads; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, hashed: str | None) -> Verdict:
        known = hashed or self._nobody
        try:
            self._argon2.verify(known, password)
        except VerifyMismatchError:
            return Verdict(matches=False)
        return Verdict(matches=hashed is not None, outdated=self._argon2.check_needs_rehash(known))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._limit:
            raise Exhausted("too many passwords are being checked at this moment: try again", retry_after=RETRY_AFTER)
        self._pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._done)
        return await future

    def _done(self, _: object) -> None:
        self._pending -= 1
