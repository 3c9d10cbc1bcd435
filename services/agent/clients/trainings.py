"""The model service as an agent calls it: runs to be carried out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from automesh.model.v1 import training_service_pb2 as pb
from automesh.model.v1 import training_service_pb2_grpc as rpc
from automesh.model.v1.run_pb2 import RunFailure
from automesh.sdk import Connection
from services.agent import convert
from services.agent.clients.files import CALL_LIMIT_S, STREAM_LIMIT_S, TRY_FOR_S, Outgoing, receive, retried, send
from services.agent.domain.files import FileInfo
from services.agent.domain.gpus import Gpu
from services.agent.domain.program import Checkpoint, Points
from services.agent.domain.training import TrainingClaim

REPORT_FOR_S = 24 * 3600.0  # a training goes on while the model service is away


class Trainings:
    """Calls are tried again while the service is away. Raises AutomationError; ABORTED when the claim is stale."""

    def __init__(self, connection: Connection, advertise_host: str) -> None:
        """`advertise_host` is where other agents reach this one."""
        self._connection = connection
        self._advertise_host = advertise_host

    async def claim(self, lease_token: bytes, gpus: Sequence[Gpu]) -> TrainingClaim:
        """Begins the work of a leased task."""
        request = pb.ClaimRunRequest(
            lease_token=lease_token,
            advertise_host=self._advertise_host,
            gpus=[convert.gpu_to_proto(gpu) for gpu in gpus],
        )
        return convert.training_claim_from_proto(await self._unary("ClaimRun", request))

    async def report(
        self, claim: TrainingClaim, batch: int, points: Points, environment: Mapping[str, Any] | None
    ) -> None:
        """Points and progress; sending a batch again changes nothing."""
        request = pb.ReportProgressRequest(
            run_token=claim.token,
            batch=batch,
            points=convert.points_to_proto(points.points),
            progress=convert.progress_to_proto(points.progress) if points.progress else None,
        )
        if environment is not None:
            request.environment.update(environment)
        await self._unary("ReportProgress", request, for_s=REPORT_FOR_S)

    async def fetch(self, claim: TrainingClaim, file: FileInfo, target: Path) -> None:
        """A file of the checkpoint to go on from."""
        request = pb.DownloadFileRequest(run_token=claim.token, name=file.name)

        async def once() -> None:
            metadata = await self._connection.metadata()
            call = self._stub().DownloadFile(request, timeout=STREAM_LIMIT_S, metadata=metadata)
            await receive(_chunks(call), target, file)

        await retried(once)

    async def store(self, claim: TrainingClaim, name: str, path: Path) -> FileInfo:
        """A file of a checkpoint or of the finished model."""
        stub, metadata = self._stub(), await self._connection.metadata()
        header = pb.UploadFileRequest(header=pb.UploadFileHeader(run_token=claim.token, name=name))
        return await send(
            lambda parts, timeout: stub.UploadFile(parts, timeout=timeout, metadata=metadata),
            lambda: Outgoing(path, name, header, lambda chunk: pb.UploadFileRequest(chunk=chunk)),
            lambda answer: convert.file_from_proto(answer.file),
        )

    async def commit(self, claim: TrainingClaim, checkpoint: Checkpoint, files: Sequence[FileInfo]) -> None:
        """The checkpoint is whole; the names of its files are relative to its folder."""
        request = pb.CommitCheckpointRequest(
            run_token=claim.token,
            step=checkpoint.step,
            folder=checkpoint.folder,
            files=[convert.checkpoint_file_to_proto(file) for file in files],
            best=checkpoint.best,
        )
        await self._unary("CommitCheckpoint", request)

    async def finish(self, claim: TrainingClaim, result: bytes) -> Mapping[str, Any]:
        """The training is done; returns the result of the task."""
        answer = await self._unary("FinishRun", pb.FinishRunRequest(run_token=claim.token, result=result))
        return convert.result_from_proto(answer.result)

    async def fail(self, claim: TrainingClaim, reason: str, message: str) -> None:
        """It failed for good."""
        failure = RunFailure(reason=reason, message=message)
        await self._unary("FinishRun", pb.FinishRunRequest(run_token=claim.token, failure=failure))

    def _stub(self) -> rpc.TrainingServiceAsyncStub:
        return rpc.TrainingServiceStub(self._connection.channel("model"))

    async def _unary(self, method: str, request: Any, *, for_s: float = TRY_FOR_S) -> Any:
        async def once() -> Any:
            metadata = await self._connection.metadata()
            return await getattr(self._stub(), method)(request, timeout=CALL_LIMIT_S, metadata=metadata)

        return await retried(once, for_s=for_s)


async def _chunks(call: Any) -> AsyncIterator[bytes]:
    async for part in call:
        yield part.chunk
