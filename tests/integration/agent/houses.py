"""The data and the model service as an agent sees them: kept in memory, behind the real guard."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from automesh.core.errors import AutomationError, Kind, NotFound, Unavailable
from automesh.data.v1 import dataset_pb2, processing_service_pb2, processing_service_pb2_grpc
from automesh.mesh.errors import abort
from automesh.mesh.server import Bound
from automesh.model.v1 import training_service_pb2, training_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
CHUNK = 5  # bytes: small files travel in several parts, too
MAX_CHUNKS = 100


class ClaimStale(AutomationError):
    """Somebody else has claimed the job since."""

    kind = Kind.ABORTED
    reason = "CLAIM_STALE"


class StoreFull(AutomationError):
    """The service does not want the file."""

    kind = Kind.PRECONDITION
    reason = "STORE_FULL"


class House:
    """What both have: files, a claim that can go stale, and calls that fail when told to."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.stored: dict[str, bytes] = {}
        self.heard: list[Any] = []
        self.stale = False
        self.full = False
        self.failing: dict[str, int] = defaultdict(int)
        """So many calls of a method are answered with UNAVAILABLE."""
        self.refuses: AutomationError | None = None
        """What a claim is answered with."""
        self._news = asyncio.Condition()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Waits, with a limit, for something that depends on what was heard."""
        async with asyncio.timeout(self.limit_s), self._news:
            await self._news.wait_for(fact)

    async def hear(self, request: Any, context: Context, *, token: bytes | None = b"claim") -> None:
        name = type(request).__name__
        if token not in {None, b"claim"} or (self.stale and token):
            await abort(context, ClaimStale("somebody else works on it"))
        if self.failing[name]:
            self.failing[name] -= 1
            await abort(context, Unavailable("told to fail"))
        async with self._news:
            self.heard.append(request)
            self._news.notify_all()

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.heard if isinstance(each, kind)]

    async def keep(self, parts: AsyncIterator[Any], context: Context, token: str) -> tuple[str, int, str]:
        header = (await anext(parts)).header
        await self.hear(header, context, token=getattr(header, token))
        if self.full and header.name.startswith("model/"):
            await abort(context, StoreFull("there is no room for more"))
        content = b"".join([part.chunk async for part in parts])
        self.stored[header.name] = content
        return header.name, len(content), hashlib.sha256(content).hexdigest()


class DataHouse(House, processing_service_pb2_grpc.ProcessingServiceServicer):
    """One job, and one version of one dataset."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.job = b'{"op": "process"}'
        self.inputs = {"upload.csv": b"a,b\n1,2\n", "source/manifest.json": b"{}"}
        self.version = {"train.parquet": b"a lot of rows", "train.windows.parquet": b"windows"}
        self.manifest = b'{"digest": "d1"}'
        self.finished: dict[str, Any] | None = None
        self.damages = 0  # so many files are sent with a wrong byte
        self.end = dataset_pb2.DatasetVersion(data_id="data_1", version=2, state=dataset_pb2.VERSION_STATE_READY)

    def bound(self) -> Bound:
        return Bound(
            processing_service_pb2.DESCRIPTOR.services_by_name["ProcessingService"],
            processing_service_pb2_grpc.add_ProcessingServiceServicer_to_server,
            self,
        )

    async def ClaimProcessing(self, request: Any, context: Context) -> Any:
        await self.hear(request, context, token=None)
        if self.refuses:
            await abort(context, self.refuses)
        answer = processing_service_pb2.ClaimProcessingResponse(
            claim_token=b"claim",
            data_id="data_1",
            version=2,
            job=self.job,
            inputs=[_info(name, content) for name, content in self.inputs.items()],
            finished=self.finished is not None,
        )
        answer.result.update(self.finished or {})
        return answer

    async def ReadInput(self, request: Any, context: Context) -> AsyncIterator[Any]:
        await self.hear(request, context, token=request.claim_token)
        for chunk in self._chunks(self.inputs[request.name]):
            yield processing_service_pb2.ReadInputResponse(chunk=chunk)

    async def WriteOutput(self, request_iterator: AsyncIterator[Any], context: Context) -> Any:
        name, size, sha256 = await self.keep(request_iterator, context, "claim_token")
        return processing_service_pb2.WriteOutputResponse(
            file=processing_service_pb2.FileInfo(name=name, size=size, sha256=sha256)
        )

    async def FinishProcessing(self, request: Any, context: Context) -> Any:
        await self.hear(request, context, token=request.claim_token)
        answer = processing_service_pb2.FinishProcessingResponse(version=self.end)
        answer.result.update({"data_id": "data_1", "version": 2})
        return answer

    async def ReadVersion(self, request: Any, context: Context) -> AsyncIterator[Any]:
        await self.hear(request, context, token=None)
        if request.data_id != "data_1":
            await abort(context, NotFound(f"there is no dataset {request.data_id}"))
        yield processing_service_pb2.ReadVersionResponse(manifest=self.manifest)
        for name, content in () if request.manifest_only else self.version.items():
            yield processing_service_pb2.ReadVersionResponse(file=_info(name, content))
            for chunk in self._chunks(content):
                yield processing_service_pb2.ReadVersionResponse(chunk=chunk)

    async def AddDependent(self, request: Any, context: Context) -> Any:
        await abort(context, NotFound("no agent asks for this"))

    async def RemoveDependent(self, request: Any, context: Context) -> Any:
        await abort(context, NotFound("no agent asks for this"))

    def _chunks(self, content: bytes) -> list[bytes]:
        if self.damages:
            self.damages -= 1
            content = b"#" + content[1:]
        return chunked(content)


class ModelHouse(House, training_service_pb2_grpc.TrainingServiceServicer):
    """One run."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.job = b'{"op": "train"}'
        self.claim = training_service_pb2.ClaimRunResponse(
            run_token=b"claim", run_id="run_1", data_id="data_1", data_version=2, processes=1, threads=2, device="cpu"
        )
        self.checkpoint: dict[str, bytes] = {}

    def bound(self) -> Bound:
        return Bound(
            training_service_pb2.DESCRIPTOR.services_by_name["TrainingService"],
            training_service_pb2_grpc.add_TrainingServiceServicer_to_server,
            self,
        )

    async def ClaimRun(self, request: Any, context: Context) -> Any:
        await self.hear(request, context, token=None)
        if self.refuses:
            await abort(context, self.refuses)
        self.claim.job = self.job
        del self.claim.checkpoint[:]
        self.claim.checkpoint.extend(_checkpoint_file(name, content) for name, content in self.checkpoint.items())
        return self.claim

    async def ReportProgress(self, request: Any, context: Context) -> Any:
        await self.hear(request, context, token=request.run_token)
        return training_service_pb2.ReportProgressResponse()

    async def UploadFile(self, request_iterator: AsyncIterator[Any], context: Context) -> Any:
        name, size, sha256 = await self.keep(request_iterator, context, "run_token")
        return training_service_pb2.UploadFileResponse(
            file=training_service_pb2.CheckpointFile(name=name, size=size, sha256=sha256)
        )

    async def CommitCheckpoint(self, request: Any, context: Context) -> Any:
        await self.hear(request, context, token=request.run_token)
        return training_service_pb2.CommitCheckpointResponse()

    async def DownloadFile(self, request: Any, context: Context) -> AsyncIterator[Any]:
        await self.hear(request, context, token=request.run_token)
        content = self.checkpoint[request.name]
        for chunk in chunked(content):
            yield training_service_pb2.DownloadFileResponse(chunk=chunk)

    async def FinishRun(self, request: Any, context: Context) -> Any:
        await self.hear(request, context, token=request.run_token)
        answer = training_service_pb2.FinishRunResponse()
        answer.result.update({"model_id": "model_1", "model_version": 4, "run_id": "run_1"})
        return answer


def chunked(content: bytes) -> list[bytes]:
    size = max(CHUNK, len(content) // MAX_CHUNKS)
    return [content[at : at + size] for at in range(0, len(content), size)]


def _info(name: str, content: bytes) -> Any:
    return processing_service_pb2.FileInfo(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _checkpoint_file(name: str, content: bytes) -> Any:
    return training_service_pb2.CheckpointFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
