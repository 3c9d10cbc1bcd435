"""The training half of the model service over mutual TLS and PostgreSQL, with what people and agents do to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from automesh.core.ids import new_id
from automesh.model.v1 import run_pb2, training_service_pb2
from automesh.model.v1 import run_service_pb2 as pb
from automesh.model.v1 import run_service_pb2_grpc as rpc
from automesh.model.v1 import training_service_pb2_grpc as training_rpc
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from services.model.convert.spec import message_of_json
from services.model.domain.registry.measuring import Measurer
from services.model.domain.registry.promotion import Promotion
from services.model.domain.registry.registry import Registry
from services.model.domain.runs.watching import WatchPace
from services.model.engine.training import Neighbours, TrainingEngine, TrainingOptions
from services.model.fakes.neighbours import FakeDatasets, FakeQueue
from services.model.fakes.training_house import SPEC
from services.model.store.alias_requests import SqlAliasRequests
from services.model.store.versions import SqlModelStore

PACE = WatchPace(poll_s=0.1, gather_s=0.005, max_points=10, max_behind=50)
LIMIT_S = 20
PERSON = ["model.train", "model.read"]


class NoStatistics:
    """The data service knows nothing of its data."""

    async def columns(self, tenant_id: str, data_id: str, version: int) -> dict[str, Any]:
        return {}


class Replica:
    """One replica, and what people and agents do to it."""

    def __init__(self, engine: TrainingEngine, mesh: InProcessMesh) -> None:
        self.engine, self.mesh = engine, mesh

    async def runs(self, *permissions: str, tenant_id: str = "default") -> rpc.RunServiceAsyncStub:
        return rpc.RunServiceStub(await self.mesh.signed_in(permissions or PERSON, tenant_id=tenant_id))

    async def agent(self) -> AgentOnWire:
        return AgentOnWire(training_rpc.TrainingServiceStub(await self.mesh.channel("agent")))


class AgentOnWire:
    """What the agent's handler says, call by call."""

    def __init__(self, stub: training_rpc.TrainingServiceAsyncStub) -> None:
        self.stub = stub
        self.token = b""
        self.batch = 0

    async def claim(self, lease: bytes) -> training_service_pb2.ClaimRunResponse:
        answer = await self.stub.ClaimRun(training_service_pb2.ClaimRunRequest(lease_token=lease))
        self.token, self.batch = answer.run_token, 0
        return answer

    async def report(self, steps: Sequence[int]) -> int:
        self.batch += 1
        request = training_service_pb2.ReportProgressRequest(run_token=self.token, batch=self.batch)
        for step in steps:
            request.points.add(name="train/loss", value=1 / step, step=step, epoch=1).time.GetCurrentTime()
        request.progress.step = max(steps)
        return (await self.stub.ReportProgress(request)).sequence

    async def store(self, name: str, content: bytes) -> training_service_pb2.CheckpointFile:
        header = training_service_pb2.UploadFileHeader(run_token=self.token, name=name)

        async def parts() -> AsyncIterator[training_service_pb2.UploadFileRequest]:
            yield training_service_pb2.UploadFileRequest(header=header)
            for start in range(0, len(content), 1000):
                yield training_service_pb2.UploadFileRequest(chunk=content[start : start + 1000])

        return (await self.stub.UploadFile(parts())).file

    async def checkpoint(self, step: int, content: bytes) -> None:
        folder = f"checkpoints/{step:06}"
        file = await self.store(f"{folder}/state.json", content)
        file.name = "state.json"
        await self.stub.CommitCheckpoint(
            training_service_pb2.CommitCheckpointRequest(
                run_token=self.token, step=step, folder=folder, files=[file], best=True
            )
        )

    async def fetch(self, name: str) -> bytes:
        request = training_service_pb2.DownloadFileRequest(run_token=self.token, name=name)
        return b"".join([part.chunk async for part in self.stub.DownloadFile(request)])

    async def finish(self) -> training_service_pb2.FinishRunResponse:
        await self.store("model/model.safetensors", b"trained")
        return await self.finish_again()

    async def finish_again(self) -> training_service_pb2.FinishRunResponse:
        result = {"metrics": {"val/loss": 0.25}, "files": [{"name": "model/model.safetensors"}], "parameters": 7}
        request = training_service_pb2.FinishRunRequest(run_token=self.token, result=json.dumps(result).encode())
        return await self.stub.FinishRun(request)


class Stand:
    """A database with neighbours, on which replicas come and go."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.queue, self.datasets, self.fanout = FakeQueue(), FakeDatasets(), LocalFanout()
        self.blobs = EncryptedBlobStore.open(folder / "blobs", Sealer(Keyring.generate()))

    @asynccontextmanager
    async def replica(self, name: str = "first") -> AsyncIterator[Replica]:
        options = TrainingOptions(
            replica=name, pace=PACE, reconcile_s=0.2, silent_for=timedelta(seconds=1), sweep_s=0.1
        )
        async with Database.open(self.dsn, schema="model") as database:
            store = SqlModelStore(database)
            promotion = Promotion(store, SqlAliasRequests(database), Measurer(None, NoStatistics()), make_id=new_id)
            neighbours = Neighbours(
                registry=Registry(store, self.blobs, promotion, make_id=new_id),
                datasets=self.datasets,
                queue=self.queue,
                blobs=self.blobs,
                fanout=self.fanout,
            )
            engine = TrainingEngine(database, neighbours, options)
            async with engine.open() as bounds, in_process_mesh("model", bounds) as mesh:
                yield Replica(engine, mesh)
                engine.hub.stop()


def start_request(request_id: str = "", **changes: Any) -> pb.StartTrainingRequest:
    return pb.StartTrainingRequest(spec=message_of_json({**SPEC, **changes}), request_id=request_id)


async def running(stand: Stand, replica: Replica) -> tuple[str, AgentOnWire]:
    started = await (await replica.runs()).StartTraining(start_request())
    agent = await replica.agent()
    await agent.claim(stand.queue.lease(started.task_id))
    return started.run_id, agent


async def updates(call: Any) -> list[run_pb2.RunUpdate]:
    async with asyncio.timeout(LIMIT_S):
        return [message.update async for message in call]


async def next_update(call: Any) -> run_pb2.RunUpdate:
    message: pb.WatchTrainingResponse = await asyncio.wait_for(call.read(), LIMIT_S)
    return message.update


def steps(seen: Sequence[run_pb2.RunUpdate]) -> list[int]:
    return [point.step for update in seen for point in update.points]
