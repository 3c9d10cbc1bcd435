"""An agent program: a name, a number of slots, and a handler for each type of task it can do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk.connection import Connection
from automesh.sdk.job import Handler
from automesh.sdk.worker import Worker, WorkerOptions

H = TypeVar("H", bound=Handler)

MAX_SLOTS = 1000
MAX_TYPES = 100


class Agent:
    """Collects handlers. `automesh.sdk.run(agent)` makes a program of it."""

    def __init__(self, *, name: str, slots: int = 1, version: str = "", drain_grace_s: float = 30.0) -> None:
        """`slots`: how many tasks it may hold at once. `drain_grace_s`: how long it may finish what it holds."""
        if not name:
            raise ValueError("an agent needs a name, such as 'build-box-3'")
        if not 1 <= slots <= MAX_SLOTS:
            raise ValueError(f"slots is {slots}: it must be from 1 to {MAX_SLOTS}")
        self._options = WorkerOptions(name=name, slots=slots, version=version, drain_grace_s=drain_grace_s)
        self._handlers: dict[str, Handler] = {}
        self._descriptions: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self._options.name

    @property
    def task_types(self) -> dict[str, str]:
        """What it can do: type -> description."""
        return dict(self._descriptions)

    def task(self, type: str, *, description: str = "") -> Callable[[H], H]:
        """Decorates the handler of a task type: `async def handler(task, context) -> mapping of JSON values`."""

        def register(handler: H) -> H:
            self._add(type, handler, description)
            return handler

        return register

    def worker(self, connection: Connection, options: WorkerOptions | None = None) -> Worker:
        """A worker for those who run it themselves. It needs a running event loop."""
        if not self._handlers:
            raise ValueError(f"agent {self.name!r} has no handler: decorate one with @agent.task(type)")
        capabilities = [pb.Capability(type=type, description=text) for type, text in self._descriptions.items()]
        return Worker(connection, capabilities, self._handlers, options or self._options)

    async def run(self, connection: Connection, *, stop: asyncio.Event | None = None) -> None:
        """Works until `stop` is set, then drains: finishes what it holds and leaves."""
        worker = self.worker(connection)
        waiting = asyncio.create_task(_drain_when(stop, worker)) if stop is not None else None
        try:
            await worker.run()
        finally:
            if waiting is not None:
                waiting.cancel()
                with suppress(asyncio.CancelledError):
                    await waiting

    def _add(self, type: str, handler: Handler, description: str) -> None:
        if not type or type in self._handlers:
            raise ValueError(f"task type {type!r} is empty or has a handler already")
        if len(self._handlers) == MAX_TYPES:
            raise ValueError(f"an agent can do at most {MAX_TYPES} types of task")
        if not inspect.iscoroutinefunction(handler):
            raise TypeError(f"the handler of {type!r} must be written `async def handler(task, context)`")
        self._handlers[type] = handler
        self._descriptions[type] = description


async def _drain_when(stop: asyncio.Event, worker: Worker) -> None:
    await stop.wait()
    worker.drain()
