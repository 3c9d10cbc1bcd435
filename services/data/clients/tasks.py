"""The orchestrator over gRPC, asked on behalf of whoever a version belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from automesh.core.errors import AutomationError, Kind
from automesh.mesh.acting import acting_for
from automesh.mesh.errors import translating_errors
from automesh.orchestrator.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc, work_service_pb2
from automesh.orchestrator.v1 import work_service_pb2_grpc as work_rpc
from services.data.domain.maker import TASK_TYPE
from services.data.domain.ports import Lease, TaskState
from services.data.domain.version import Version

_STATUS = "TASK_STATUS_"


class OrchestratorTasks:
    """A services.data.domain.ports.Tasks."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: timedelta) -> None:
        self._tasks = task_service_pb2_grpc.TaskServiceStub(channel)
        self._work = work_rpc.WorkServiceStub(channel)
        self._timeout = timeout

    async def submit(self, version: Version) -> str:
        """The request id is the version's name, so that one version has one task."""
        given = Struct()
        given.update({"data_id": version.data_id, "version": version.version})
        task = task_pb2.Task(type=TASK_TYPE, description=f"version {version.version} of {version.data_id}", input=given)
        task.timeout.FromTimedelta(self._timeout)
        request = task_service_pb2.CreateTaskRequest(
            task=task, request_id=f"{TASK_TYPE}-{version.data_id}-{version.version}"
        )
        with translating_errors(), acting_for(version.tenant_id, version.created_by):
            return (await self._tasks.CreateTask(request)).task.task_id

    async def state(self, tenant_id: str, task_id: str) -> TaskState | None:
        """None when it was deleted."""
        request = task_service_pb2.GetTaskRequest(task_id=task_id)
        try:
            with translating_errors(), acting_for(tenant_id):
                task = (await self._tasks.GetTask(request)).task
        except AutomationError as error:
            if error.kind is Kind.NOT_FOUND:
                return None
            raise
        status = task_pb2.TaskStatus.Name(task.status).removeprefix(_STATUS)
        return TaskState(status=status, reason=task.failure.reason, message=task.failure.message)

    async def cancel(self, tenant_id: str, task_id: str, reason: str) -> None:
        """The agent that works on it is told."""
        request = task_service_pb2.CancelTaskRequest(task_id=task_id, reason=reason)
        try:
            with translating_errors(), acting_for(tenant_id):
                await self._tasks.CancelTask(request)
        except AutomationError as error:
            if error.kind not in {Kind.NOT_FOUND, Kind.PRECONDITION}:
                raise

    async def lease(self, token: bytes) -> Lease:
        """As the orchestrator sees it now."""
        request = work_service_pb2.DescribeLeaseRequest(lease_token=token)
        with translating_errors():
            task = (await self._work.DescribeLease(request)).task
        return Lease(
            tenant_id=task.tenant_id,
            task_id=task.task_id,
            task_type=task.type,
            attempt=task.attempt,
            created_by=task.created_by,
            input=_content(task.input),
        )


def _content(message: Struct) -> Mapping[str, Any]:
    return json_format.MessageToDict(message)
