"""A typed client of the platform, for programs. Every error comes back as the AutomationError the service raised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import Struct

from automesh.core.backoff import Backoff
from automesh.core.errors import Unavailable, ValidationError
from automesh.core.ids import new_id
from automesh.data.v1 import data_service_pb2 as data_pb
from automesh.data.v1 import dataset_pb2
from automesh.mesh.errors import translating_errors
from automesh.model.v1 import run_pb2, run_service_pb2, training_pb2
from automesh.orchestrator.v1 import artifact_service_pb2 as artifact_pb
from automesh.orchestrator.v1 import artifact_service_pb2_grpc as artifact_rpc
from automesh.orchestrator.v1 import task_pb2
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.orchestrator.v1 import task_service_pb2_grpc as rpc
from automesh.sdk.connection import Connection
from automesh.sdk.datasets import Datasets
from automesh.sdk.trainings import Trainings

FINISHED = frozenset({task_pb2.TASK_STATUS_COMPLETED, task_pb2.TASK_STATUS_FAILED, task_pb2.TASK_STATUS_CANCELLED})
PAGE = 200


class Client:
    """Tasks and their artifacts, data and trainings. Made from a `Connection`; keeps nothing of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tasks = rpc.TaskServiceStub(connection.channel("orchestrator"))
        self._artifacts = artifact_rpc.ArtifactServiceStub(connection.channel("orchestrator"))
        self._datasets, self._trainings = Datasets(connection), Trainings(connection)

    async def create_task(
        self,
        type: str,
        input: Mapping[str, Any] | None = None,
        *,
        description: str = "",
        priority: int | None = None,
        attempt_timeout: timedelta | None = None,
        run_at: datetime | None = None,
        max_retries: int | None = None,
        request_id: str = "",
    ) -> task_pb2.Task:
        """Stores a task. With a `request_id` of your own the call is safe to repeat; without one only the mesh may.

        `attempt_timeout` bounds each attempt.
        """
        task = task_pb2.Task(type=type, description=description, priority=priority, input=_struct(input or {}))
        if attempt_timeout is not None:
            task.timeout.FromTimedelta(attempt_timeout)
        if run_at is not None:
            task.run_at.FromDatetime(run_at)
        if max_retries is not None:
            task.retry_policy.max_retries = max_retries
        request = pb.CreateTaskRequest(task=task, request_id=request_id or new_id("once"))
        with translating_errors():
            return (await self._tasks.CreateTask(request, metadata=await self._connection.metadata())).task

    async def get_task(self, task_id: str) -> task_pb2.Task:
        """The task as it is now. Raises an error of kind NOT_FOUND when there is none."""
        request = pb.GetTaskRequest(task_id=task_id)
        with translating_errors():
            return (await self._tasks.GetTask(request, metadata=await self._connection.metadata())).task

    async def list_tasks(
        self,
        *,
        status: Sequence[str] = (),
        type: Sequence[str] = (),
    ) -> AsyncIterator[task_pb2.Task]:
        """All tasks, newest first, page by page; only those of the given statuses ("RUNNING") and types."""
        token = ""
        while True:
            request = pb.ListTasksRequest(page_size=PAGE, page_token=token, status=status, type=type)
            with translating_errors():
                page = await self._tasks.ListTasks(request, metadata=await self._connection.metadata())
            for task in page.tasks:
                yield task
            token = page.next_page_token
            if not token:
                return

    async def cancel_task(self, task_id: str, reason: str = "") -> task_pb2.Task:
        """Stops a task. Raises an error of kind PRECONDITION when it is finished already."""
        request = pb.CancelTaskRequest(task_id=task_id, reason=reason)
        with translating_errors():
            return (await self._tasks.CancelTask(request, metadata=await self._connection.metadata())).task

    async def watch_task(self, task_id: str, cursor: str = "") -> AsyncGenerator[pb.WatchTaskResponse]:
        """The state now, then every change with new log lines, until the task is finished.

        A lost connection is made again and goes on from the last message seen.
        """
        backoff = Backoff(first_s=0.2, most_s=5.0)
        while True:
            request = pb.WatchTaskRequest(task_id=task_id, cursor=cursor)
            try:
                with translating_errors():
                    async for message in self._tasks.WatchTask(request, metadata=await self._connection.metadata()):
                        cursor = message.cursor or cursor
                        backoff.reset()
                        yield message
                        if message.task.status in FINISHED:
                            return
            except Unavailable:
                pass
            await asyncio.sleep(backoff.next_s())

    async def wait(self, task_id: str, timeout_s: float | None = None) -> task_pb2.Task:
        """The task once it is finished. Raises TimeoutError after `timeout_s` seconds."""
        async with asyncio.timeout(timeout_s), aclosing(self.watch_task(task_id)) as messages:
            async for message in messages:
                if message.task.status in FINISHED:
                    return message.task
        raise AssertionError("a watch ends with a finished task")

    async def list_artifacts(self, task_id: str) -> AsyncIterator[artifact_pb.Artifact]:
        """The files of a task, by name."""
        token = ""
        while True:
            request = artifact_pb.ListArtifactsRequest(task_id=task_id, page_size=PAGE, page_token=token)
            with translating_errors():
                page = await self._artifacts.ListArtifacts(request, metadata=await self._connection.metadata())
            for artifact in page.artifacts:
                yield artifact
            token = page.next_page_token
            if not token:
                return

    async def download(self, task_id: str, folder: Path) -> list[Path]:
        """Stores all files of a task below `folder` and returns their paths."""
        paths = []
        async for artifact in self.list_artifacts(task_id):
            path = _inside(folder, artifact.name)
            await self._fetch(task_id, artifact.name, path)
            paths.append(path)
        return paths

    async def upload_file(self, content: bytes | Path, name: str = "", *, sha256: str = "") -> dataset_pb2.Upload:
        """Sends a file to the data service. See Datasets.upload."""
        return await self._datasets.upload(content, name, sha256=sha256)

    async def process(
        self, request: data_pb.ProcessDataRequest, *, wait_s: float | None = None
    ) -> dataset_pb2.DatasetVersion:
        """Has a version of a dataset made. See Datasets.process."""
        return await self._datasets.process(request, wait_s=wait_s)

    async def train(
        self, spec: training_pb2.TrainingSpec, *, request_id: str = ""
    ) -> run_service_pb2.StartTrainingResponse:
        """Starts a training. See Trainings.start."""
        return await self._trainings.start(spec, request_id=request_id)

    def watch_training(self, run_id: str, from_sequence: int = 0) -> AsyncGenerator[run_pb2.RunUpdate, None]:
        """The updates of a run to its end. See Trainings.watch."""
        return self._trainings.watch(run_id, from_sequence)

    async def _fetch(self, task_id: str, name: str, path: Path) -> None:
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        request = artifact_pb.DownloadArtifactRequest(task_id=task_id, name=name)
        part = path.with_name(f".{path.name}.part")
        try:
            with await asyncio.to_thread(part.open, "wb") as file, translating_errors():
                metadata = await self._connection.metadata()
                async for body in self._artifacts.DownloadArtifact(request, metadata=metadata):
                    await asyncio.to_thread(file.write, body.data)
            await asyncio.to_thread(part.replace, path)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)


def _struct(input: Mapping[str, Any]) -> Struct:
    struct = Struct()
    try:
        struct.update(input)
    except (ValueError, TypeError, AttributeError, UnicodeError) as error:
        raise ValidationError(f"input is not a mapping of JSON values: {error}", field="task.input") from error
    return struct


def _inside(folder: Path, name: str) -> Path:
    """The path of an artifact; the names come from agents, so none may lead out of the folder."""
    root = folder.resolve()
    path = (root / name).resolve()
    if root not in path.parents:
        raise ValidationError(f"the artifact name {name!r} leads out of the folder", field="name", name=name)
    return path
