"""Slowing down guessers: after a few failures each further one makes the account, or the source, wait twice as long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from automesh.core.clock import Clock
from automesh.core.errors import Exhausted


class TooManyFailures(Exhausted):
    """Guessing is slowed down; `retry_after` says when the next try counts. Says nothing about the account."""

    reason = "TOO_MANY_FAILURES"


@dataclass(frozen=True, slots=True)
class Failures:
    """How often signing in failed lately."""

    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LockoutPolicy:
    """`free` failures cost nothing, then `first` doubles up to `longest`; forgotten `forget_after` the last one."""

    free: int
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=15)
    forget_after: timedelta = timedelta(hours=1)

    def wait(self, failures: Failures | None, now: datetime) -> timedelta:
        """How long the next try has to wait; zero when it may come now. Never longer than `longest`."""
        if failures is None or failures.count < self.free:
            return timedelta(0)
        doublings = min(failures.count - self.free, 30)
        delay: timedelta = min(self.first * 2**doublings, self.longest)
        until = failures.last_at + delay
        return min(max(until - now, timedelta(0)), self.longest)  # a clock that jumped back must not lock for ever

    def after_failure(self, failures: Failures | None, now: datetime) -> Failures:
        """The count with one more failure."""
        if failures is None or now - failures.last_at > self.forget_after:
            return Failures(1, now)
        return Failures(failures.count + 1, now)


ACCOUNT = LockoutPolicy(free=5)
SOURCE = LockoutPolicy(free=30)
"""Many people may sit behind one address: it gets more tries."""


class FailureStore(Protocol):
    """Remembers failures through restarts, by opaque keys."""

    async def read(self, keys: Sequence[str]) -> dict[str, Failures]:
        """Those of the keys that have failures."""
        ...

    async def change(self, key: str, change: Callable[[Failures | None], Failures]) -> None:
        """Read, decide, write, atomically."""
        ...

    async def forget(self, key: str) -> None:
        """Drops the failures of a key."""
        ...

    async def forget_before(self, moment: datetime) -> int:
        """Drops what failed last before the moment; returns how many."""
        ...


class Lockout:
    """Admits tries to sign in, per account and per source. An empty source is not counted."""

    def __init__(
        self, store: FailureStore, clock: Clock, *, account: LockoutPolicy = ACCOUNT, source: LockoutPolicy = SOURCE
    ) -> None:
        self._store, self._clock = store, clock
        self._account, self._source = account, source

    async def admit(self, account: str, source: str) -> None:
        """Raises TooManyFailures when it is too early for another try."""
        watched = self._watched(account, source)
        known = await self._store.read(list(watched))
        now = self._clock()
        wait = max((policy.wait(known.get(key), now) for key, policy in watched.items()), default=timedelta(0))
        if wait > timedelta(0):
            raise TooManyFailures(
                f"too many failures to sign in: try again in {max(1, round(wait.total_seconds()))} s", retry_after=wait
            )

    async def failed(self, account: str, source: str) -> None:
        """Counts a failure."""
        now = self._clock()
        for key, policy in self._watched(account, source).items():
            await self._store.change(key, partial(policy.after_failure, now=now))

    async def succeeded(self, account: str) -> None:
        """Forgets the account's failures. The source keeps its own: one good account must not clear its guesses."""
        await self._store.forget(_key("account", account))

    async def sweep(self) -> int:
        """Drops what no longer matters; returns how many."""
        return await self._store.forget_before(
            self._clock() - max(self._account.forget_after, self._source.forget_after)
        )

    def _watched(self, account: str, source: str) -> dict[str, LockoutPolicy]:
        watched = {_key("account", account): self._account} if account else {}
        if source:
            watched[_key("source", source)] = self._source
        return watched


def _key(kind: str, name: str) -> str:
    """Digests: people type passwords into the name field, and names can be of any length."""
    return f"{kind}:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"
