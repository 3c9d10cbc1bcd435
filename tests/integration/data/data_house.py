"""A whole data service of this process, over mutual TLS, on a real PostgreSQL; what stands around it is fake."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from automesh.core.errors import AutomationError, ValidationError
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import data_service_pb2_grpc as rpc
from automesh.data.v1 import dataset_pb2
from automesh.data.v1 import processing_service_pb2 as work_pb
from automesh.data.v1 import processing_service_pb2_grpc as work_rpc
from automesh.mesh.errors import from_rpc_error
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.postgres import PostgresForTests
from services.data.engine import DataEngine, Options, Outside
from services.data.fakes.outside import FakeConverter, FakeTasks, FakeUrls

PERMISSIONS = ("data.read", "data.write", "data.delete")
MIB = 1024 * 1024


@dataclass
class Served:
    """The service, what stands around it, and people and agents who call it."""

    engine: DataEngine
    mesh: InProcessMesh
    tasks: FakeTasks
    urls: FakeUrls
    folder: Path
    database: Database

    async def data(self, tenant_id: str = "default", *permissions: str) -> rpc.DataServiceStub:
        """Somebody of a tenant."""
        channel = await self.mesh.signed_in(permissions or PERMISSIONS, tenant_id=tenant_id)
        return rpc.DataServiceStub(channel)

    async def agent(self) -> work_rpc.ProcessingServiceStub:
        """An agent of the platform."""
        return work_rpc.ProcessingServiceStub(await self.mesh.channel("agent"))

    async def upload(self, content: bytes, name: str = "rows.csv", **header: Any) -> dataset_pb2.Upload:
        stub = await self.data()

        async def requests() -> AsyncIterator[pb.UploadFileRequest]:
            yield pb.UploadFileRequest(name=name, **header)
            for start in range(0, len(content), MIB):
                request = pb.UploadFileRequest()
                request.content.data = content[start : start + MIB]
                yield request

        return (await stub.UploadFile(requests())).upload

    async def process(self, **request: Any) -> pb.ProcessDataResponse:
        """A version that is being made, of an upload unless told otherwise."""
        if not request.get("source") and not request.get("data_id"):
            upload = await self.upload(b"a,b\n1,2\n")
            request["source"] = {"upload": {"upload_id": upload.upload_id}}
        if not request.get("data_id"):
            request.setdefault("name", "rows")
        return await (await self.data()).ProcessData(pb.ProcessDataRequest(**request))

    async def claim(self, task_id: str) -> work_pb.ClaimProcessingResponse:
        """Leases the task and claims its version."""
        token = self.tasks.take(task_id)
        return await (await self.agent()).ClaimProcessing(work_pb.ClaimProcessingRequest(lease_token=token))

    async def write(self, claim_token: bytes, name: str, content: bytes) -> work_pb.FileInfo:
        async def requests() -> AsyncIterator[work_pb.WriteOutputRequest]:
            yield work_pb.WriteOutputRequest(header={"claim_token": claim_token, "name": name})
            for start in range(0, len(content), MIB):
                yield work_pb.WriteOutputRequest(chunk=content[start : start + MIB])

        return (await (await self.agent()).WriteOutput(requests())).file

    async def read_input(self, claim_token: bytes, name: str) -> bytes:
        call = (await self.agent()).ReadInput(work_pb.ReadInputRequest(claim_token=claim_token, name=name))
        return b"".join([message.chunk async for message in call])

    async def finish(self, claim_token: bytes, manifest: Mapping[str, Any]) -> work_pb.FinishProcessingResponse:
        told = json.dumps(manifest).encode()
        request = work_pb.FinishProcessingRequest(claim_token=claim_token, manifest=told)
        return await (await self.agent()).FinishProcessing(request)

    async def fail(self, claim_token: bytes, reason: str, message: str) -> work_pb.FinishProcessingResponse:
        request = work_pb.FinishProcessingRequest(
            claim_token=claim_token, failure={"reason": reason, "message": message}
        )
        return await (await self.agent()).FinishProcessing(request)

    async def make(self, task_id: str, content: bytes = b"PAR1 train") -> dataset_pb2.DatasetVersion:
        """Plays the agent from the claim to the end."""
        claim = await self.claim(task_id)
        manifest = await self.outputs(claim.claim_token, content)
        return (await self.finish(claim.claim_token, manifest)).version

    async def ready(self, **request: Any) -> dataset_pb2.DatasetVersion:
        """A version that can be read."""
        return await self.make((await self.process(**request)).task_id)

    async def outputs(self, claim_token: bytes, content: bytes = b"PAR1 train", **changes: Any) -> dict[str, Any]:
        """Writes what the program would have made, and returns its manifest."""
        preview = {"train": {"rows": [[1, "x"], [2, None]]}}
        statistics = {"train": [{"column": "a", "nulls": "0", "distinct": "2", "min": 1.0, "max": 2.0}]}
        files = {
            "train.parquet": content,
            "preview.json": json.dumps(preview).encode(),
            "statistics.json": json.dumps(statistics).encode(),
        }
        infos = [await self.write(claim_token, name, data) for name, data in files.items()]
        return {
            "state": "READY",
            "rows": 2,
            "columns": [
                {"name": "a", "type": "COLUMN_TYPE_INT64", "nullable": False},
                {"name": "b", "type": "COLUMN_TYPE_STRING", "nullable": True},
            ],
            "parts": [{"name": "train", "rows": 2, "windows": 0, "series": 1, "file": "train.parquet"}],
            "digest": hashlib.sha256(content).hexdigest(),
            "facts": {"scale": {"a": {"mean": 1.5}}},
            "files": [{"name": each.name, "size": each.size, "sha256": each.sha256} for each in infos],
            **changes,
        }

    def blobs(self) -> list[Path]:
        """Files on the disk."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


@asynccontextmanager
async def data_service(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    """The service on a database of its own."""
    sealer = Sealer(Keyring.generate())
    folder = tmp_path / "blobs"
    tasks, urls = FakeTasks(), FakeUrls()
    outside = Outside(blobs=EncryptedBlobStore.open(folder, sealer), tasks=tasks, urls=urls, converter=FakeConverter())
    options = Options(
        max_upload_bytes=4 * MIB,
        max_file_bytes=4 * MIB,
        quota=16 * MIB,
        quiet_for=timedelta(0),
        follow_every_s=3600,
        clean_every_s=3600,
        fetch_wait_s=5,
    )
    async with (
        postgres.fresh({"data": "services.data.migrations"}) as dsn,
        Database.open(dsn, schema="data") as database,
    ):
        engine = DataEngine(database, sealer, outside, options)
        async with engine.open() as bounds, in_process_mesh("data", bounds) as mesh:
            yield Served(engine, mesh, tasks, urls, folder, database)


async def refused(call: Any) -> AutomationError:
    """The error that the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return from_rpc_error(error.value)


async def invalid(call: Any) -> ValidationError:
    """The error of a call that is wrong in itself; it names the fields."""
    error = await refused(call)
    assert isinstance(error, ValidationError)
    return error
