"""Wires the agent: sandbox, programs, work folder and clients below, the handlers, the worker, one servicer on top."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from automesh.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from automesh.sdk import Agent, Connection, MeshConnection, Worker, WorkerOptions
from automesh.sdk.documentation import Documentation
from automesh.sdk.job import Handler
from services.agent.clients.dataset_cache import DatasetCache
from services.agent.clients.datasets import Datasets
from services.agent.clients.generator.generation import generate_tests
from services.agent.clients.generator.module_search import find_module
from services.agent.clients.libraries import missing
from services.agent.clients.nvidia import find_gpus
from services.agent.clients.program.program import Programs
from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.clients.trainings import Trainings
from services.agent.clients.work_dir import WorkDir, opened
from services.agent.domain.ability import Ability
from services.agent.domain.documentation import DocumentationRequest
from services.agent.domain.gpus import GpuLeases
from services.agent.handlers import data_processing, documentation, generation, model_training, noop
from services.agent.service import AgentServicer
from services.agent.settings import Settings, program_environment

log = structlog.get_logger()

LONGEST_WAIT_S = 2.0  # between two tries to reach the orchestrator: the fleet is small, and people wait at the start
STOP_GRACE_S = 12.0  # a handler that is cancelled has so long: a trainer writes a checkpoint first


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncIterator[Sequence[Bound]]:
    """Works in the background from the start; when the process stops, what is held may finish."""
    with opened(settings.work_dir or settings.state_dir / "work", settings.instance_id) as work_dir:
        sandbox = Sandbox(hidden=(settings.state_dir, settings.identity_dir), unsafe=settings.unsafe_sandbox)
        unavailable = await sandbox.probe() or ""
        if unavailable:
            log.warning("no sandbox here: tasks that need one will fail", why=unavailable)
        connection = MeshConnection(mesh)
        gpus = GpuLeases(await find_gpus(settings.gpus))
        handlers = Handlers(settings, connection, work_dir, gpus, stopping=mesh.stopping)
        offers = [handlers.tests(sandbox, unavailable), handlers.documentation(sandbox), *handlers.programs()]
        agent, abilities = agent_of(settings, offers)
        worker = agent.worker(connection, _options(settings, agent.name))
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


@dataclass(frozen=True, slots=True)
class Offer:
    """A task type. With `absent` it is not even offered to the orchestrator; with `unavailable` its tasks fail."""

    type: str
    description: str
    handler: Handler
    unavailable: str = ""
    absent: str = ""


class Handlers:
    """Makes the handlers that need something."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        work_dir: WorkDir,
        gpus: GpuLeases,
        *,
        stopping: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._work_dir = work_dir
        self._gpus = gpus
        self._stopping = stopping

    def tests(self, sandbox: Sandbox, unavailable: str) -> Offer:
        """`test_generation`, which needs the sandbox."""
        settings = self._settings
        generate = partial(generate_tests, pynguin=settings.pynguin_python, source_roots=settings.source_roots)
        handler = generation.TestGeneration(generate, sandbox, self._work_dir, unavailable=unavailable)
        return Offer(generation.TYPE, generation.DESCRIPTION, handler.run, unavailable=unavailable)

    def documentation(self, sandbox: Sandbox) -> Offer:
        """`documentation`, of what is installed beside the agent and of what its operator opens."""
        settings = self._settings

        def find(request: DocumentationRequest) -> Path:
            installed = sandbox.interpreter.roots
            return find_module(
                request.package, path=request.path, source_roots=settings.source_roots, installed=installed
            ).file

        handler = documentation.DocumentationWriting(
            Documentation(self._connection),
            find,
            Programs(program_environment(), memory_bytes=settings.program_memory_bytes),
            self._work_dir,
            silence_s=settings.program_silence_s,
        )
        return Offer(documentation.TYPE, documentation.DESCRIPTION, handler.run)

    def programs(self) -> Sequence[Offer]:
        """The types that run programs of other services, which need libraries."""
        settings = self._settings
        datasets = Datasets(self._connection)
        programs = Programs(program_environment(), memory_bytes=settings.program_memory_bytes)
        cache_dir = settings.dataset_cache_dir or settings.state_dir / "cache" / "datasets"
        processing = data_processing.DataProcessing(
            datasets, programs, self._work_dir, silence_s=settings.program_silence_s
        )
        training = model_training.ModelTraining(
            Trainings(self._connection, settings.advertise_host or settings.listen_host),
            DatasetCache(cache_dir, datasets, max_bytes=settings.dataset_cache_bytes),
            self._gpus,
            programs,
            self._work_dir,
            silence_s=settings.program_silence_s,
            stopping=self._stopping,
        )
        lacking = missing(model_training.LIBRARIES, extra="model")
        offers = [
            Offer(data_processing.TYPE, data_processing.DESCRIPTION, processing.run,
                  absent=missing(data_processing.LIBRARIES, extra="data")),
            Offer(model_training.TYPE, model_training.DESCRIPTION, training.run, absent=lacking),
        ]  # fmt: skip
        if self._gpus.gpus:  # runs that need a GPU are sent to agents that offer this
            offers.append(Offer(model_training.GPU_TYPE, model_training.GPU_DESCRIPTION, training.run, absent=lacking))
        return offers


def agent_of(settings: Settings, offers: Sequence[Offer]) -> tuple[Agent, Sequence[Ability]]:
    """The agent with all its handlers, and what can be told of them."""
    name = settings.agent_name or f"{socket.gethostname()[:64]}/{settings.instance_id}"
    agent = Agent(name=name, slots=settings.slots, version=settings.version)
    offers = [Offer(noop.TYPE, noop.DESCRIPTION, noop.noop), *offers]
    for offer in offers:
        if offer.absent:
            log.info("a task type is not offered", type=offer.type, why=offer.absent)
        else:
            agent.task(offer.type, description=offer.description)(offer.handler)
    return agent, [Ability(each.type, each.description, each.absent or each.unavailable) for each in offers]


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
