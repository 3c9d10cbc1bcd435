"""Wires the agent: the sandbox and the work folder below, the handlers, the worker, one servicer on top."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog

from automesh.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from automesh.sdk import Agent, MeshConnection, Worker, WorkerOptions
from services.agent.clients.generator.generation import generate_tests
from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.clients.work_dir import WorkDir, opened
from services.agent.domain.ability import Ability
from services.agent.handlers import generation, noop
from services.agent.service import AgentServicer
from services.agent.settings import Settings

log = structlog.get_logger()

LONGEST_WAIT_S = 2.0  # between two tries to reach the orchestrator: the fleet is small, and people wait at the start
STOP_GRACE_S = 3.0  # a handler that is cancelled has so long; with the drain it stays below what supervisors allow


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncIterator[Sequence[Bound]]:
    """Works in the background from the start; when the process stops, what is held may finish."""
    with opened(settings.work_dir or settings.state_dir / "work", settings.instance_id) as work_dir:
        sandbox = Sandbox(hidden=(settings.state_dir, settings.identity_dir), unsafe=settings.unsafe_sandbox)
        unavailable = await sandbox.probe() or ""
        if unavailable:
            log.warning("no sandbox here: tasks that need one will fail", why=unavailable)
        agent, abilities = agent_of(settings, sandbox, work_dir, unavailable)
        worker = agent.worker(MeshConnection(mesh), _options(settings, agent.name))
        mesh.ready_when = worker.registered.wait
        work = mesh.spawn(worker.run(), "work on tasks")
        mesh.spawn(_drain_when(mesh.stopping, worker), "drain when stopping")
        yield [
            Bound(
                agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"],
                agent_service_pb2_grpc.add_AgentServiceServicer_to_server,
                AgentServicer(worker, abilities),
            )
        ]
        worker.drain()
        await asyncio.wait([work])


def agent_of(
    settings: Settings, sandbox: Sandbox, work_dir: WorkDir, unavailable: str
) -> tuple[Agent, Sequence[Ability]]:
    """The agent with all its handlers, and what can be told of them."""
    name = settings.agent_name or f"{socket.gethostname()[:64]}/{settings.instance_id}"
    agent = Agent(name=name, slots=settings.slots, version=settings.version)
    generate = partial(generate_tests, pynguin=settings.pynguin_python, source_roots=settings.source_roots)
    tests = generation.TestGeneration(generate, sandbox, work_dir, unavailable=unavailable)
    agent.task(noop.TYPE, description=noop.DESCRIPTION)(noop.noop)
    agent.task(generation.TYPE, description=generation.DESCRIPTION)(tests.run)
    reasons = {generation.TYPE: unavailable}
    return agent, [Ability(type, text, reasons.get(type, "")) for type, text in agent.task_types.items()]


def _options(settings: Settings, name: str) -> WorkerOptions:
    return WorkerOptions(
        name=name,
        slots=settings.slots,
        version=settings.version,
        drain_grace_s=settings.task_drain_s,
        stop_grace_s=STOP_GRACE_S,
        longest_wait_s=LONGEST_WAIT_S,
    )


async def _drain_when(stopping: asyncio.Event, worker: Worker) -> None:
    await stopping.wait()
    worker.drain()
