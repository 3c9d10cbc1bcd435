"""An agent at work for an orchestrator, a data and a model service that live in this process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from automesh.sdk import Agent
from automesh.testing.agents import at_work
from automesh.testing.mesh import in_process_mesh
from automesh.testing.orchestrator import FakeOrchestrator
from services.agent.clients.dataset_cache import DatasetCache
from services.agent.clients.datasets import Datasets
from services.agent.clients.program.program import Programs
from services.agent.clients.trainings import Trainings
from services.agent.clients.work_dir import opened
from services.agent.domain.gpus import Gpu, GpuLeases
from services.agent.handlers.data_processing import DataProcessing
from services.agent.handlers.model_training import ModelTraining
from tests.integration.agent.houses import DataHouse, ModelHouse

GPU = Gpu(3, "GPU-abc", "NVIDIA H100 80GB HBM3", 80 * 1024**3)


class ServiceConnection:
    """A Connection with a channel to each service, with the certificate of an agent."""

    def __init__(self, channels: dict[str, grpc.aio.Channel]) -> None:
        self._channels = channels

    def channel(self, service: str) -> grpc.aio.Channel:
        return self._channels[service]

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


@dataclass
class Works:
    """An agent at work for all three services."""

    orchestrator: FakeOrchestrator
    data: DataHouse
    model: ModelHouse
    folder: Path
    limit_s: float
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def done(self, type: str, **fields: Any) -> Any:
        async with asyncio.timeout(self.limit_s):
            return await self.orchestrator.done(self.orchestrator.lease(type, {}, **fields))

    def attempts(self) -> list[Path]:
        return list((self.folder / "work").glob("*/attempt-*"))


@asynccontextmanager
async def working(folder: Path, programs: Programs, *, limit_s: float) -> AsyncGenerator[Works]:
    """Nothing of its attempts is left in the end."""
    data, model = DataHouse(limit_s), ModelHouse(limit_s)
    async with (
        FakeOrchestrator(limit_s=limit_s) as fake,
        in_process_mesh("data", [data.bound()]) as data_mesh,
        in_process_mesh("model", [model.bound()]) as model_mesh,
    ):
        held = Works(fake, data, model, folder, limit_s)
        connection = ServiceConnection(
            {"data": await data_mesh.channel("agent"), "model": await model_mesh.channel("agent")}
        )
        datasets = Datasets(connection)
        with opened(folder / "work", "inst_1") as work_dir:
            training = ModelTraining(
                Trainings(connection, "127.0.0.1"),
                DatasetCache(folder / "cache", datasets, max_bytes=10**6),
                GpuLeases([GPU]),
                programs,
                work_dir,
                silence_s=limit_s,
                stopping=held.stopping,
            )
            agent = Agent(name="agent", slots=3)
            agent.task("data_processing")(DataProcessing(datasets, programs, work_dir, silence_s=limit_s).run)
            agent.task("model_training")(training.run)
            async with at_work(agent, fake, stop_grace_s=limit_s):
                yield held
    assert held.attempts() == []
