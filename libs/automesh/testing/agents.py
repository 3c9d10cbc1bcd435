"""Runs an agent against a fake orchestrator for the time of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from automesh.sdk import Agent, Worker, WorkerOptions
from automesh.testing.orchestrator import FakeOrchestrator


@asynccontextmanager
async def at_work(agent: Agent, fake: FakeOrchestrator, **options: Any) -> AsyncGenerator[Worker]:
    """The agent at work, with short waits; `options` are those of WorkerOptions. Raises what stopped the agent."""
    quick = {"first_wait_s": 0.02, "longest_wait_s": 0.1, "stop_grace_s": 0.5, "drain_grace_s": 5.0}
    worker = agent.worker(fake.connection, WorkerOptions(**{"name": agent.name, **quick, **options}))
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        if running.done():
            running.result()
        running.cancel()
        await asyncio.wait([running])
