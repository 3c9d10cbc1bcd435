"""The orchestrator as the model service needs it: tasks in its queue, leases described, agents with GPUs found."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import json_format

from automesh.core.errors import AutomationError, Kind
from automesh.mesh.acting import acting_for
from automesh.mesh.errors import translating_errors
from automesh.mesh.times import duration
from automesh.orchestrator.v1 import (
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    work_service_pb2,
    work_service_pb2_grpc,
)
from services.model.convert.runs import struct
from services.model.domain.runs.ports import LeasedTask, NewTask, TaskSight
from services.model.domain.runs.submission import GPU_TASK_TYPE

PAGE = 1000
PAGES = 10
"""Agents are looked through up to here."""
_PREFIX = "TASK_STATUS_"


class OrchestratorQueue:
    """A services.model.domain.run_ports.TaskQueue."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._tasks = task_service_pb2_grpc.TaskServiceStub(channel)
        self._work = work_service_pb2_grpc.WorkServiceStub(channel)

    async def submit(self, task: NewTask) -> str:
        """CreateTask, acting for whoever wants the training."""
        message = task_pb2.Task(
            type=task.type,
            description=task.description,
            input=struct(task.input),
            timeout=duration(task.timeout),
        )
        request = task_service_pb2.CreateTaskRequest(task=message, request_id=task.request_id)
        with translating_errors(), acting_for(task.tenant_id, task.subject):
            return (await self._tasks.CreateTask(request)).task.task_id

    async def describe(self, lease_token: bytes) -> LeasedTask:
        """DescribeLease."""
        request = work_service_pb2.DescribeLeaseRequest(lease_token=lease_token)
        with translating_errors():
            task = (await self._work.DescribeLease(request)).task
        return LeasedTask(
            task_id=task.task_id,
            tenant_id=task.tenant_id,
            type=task.type,
            attempt=task.attempt,
            created_by=task.created_by,
            input=_content(task),
            last_failure=task.failure.reason,
        )

    async def sight(self, tenant_id: str, task_id: str) -> TaskSight:
        """GetTask; a task that is not there is gone."""
        try:
            with translating_errors(), acting_for(tenant_id):
                task = (await self._tasks.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id))).task
        except AutomationError as error:
            if error.kind is Kind.NOT_FOUND:
                return TaskSight("")
            raise
        status = task_pb2.TaskStatus.Name(task.status).removeprefix(_PREFIX)
        return TaskSight(status, task.failure.reason, task.failure.message)

    async def cancel(self, tenant_id: str, subject: str, task_id: str, reason: str) -> None:
        """CancelTask; one that is over or gone stays so."""
        request = task_service_pb2.CancelTaskRequest(task_id=task_id, reason=reason[:1024])
        try:
            with translating_errors(), acting_for(tenant_id, subject):
                await self._tasks.CancelTask(request)
        except AutomationError as error:
            if error.kind not in {Kind.NOT_FOUND, Kind.PRECONDITION}:
                raise

    async def has_gpu(self, tenant_id: str) -> bool:
        """ListAgents, page by page."""
        token = ""
        for _ in range(PAGES):
            request = work_service_pb2.ListAgentsRequest(page_size=PAGE, page_token=token)
            with translating_errors(), acting_for(tenant_id):
                answer = await self._work.ListAgents(request)
            if any(_offers_gpu(agent) for agent in answer.agents):
                return True
            token = answer.next_page_token
            if not token:
                break
        return False


def _offers_gpu(agent: work_service_pb2.AgentInfo) -> bool:
    ready = agent.connected and not agent.draining
    return ready and any(each.type == GPU_TASK_TYPE for each in agent.capabilities)


def _content(task: task_pb2.Task) -> dict[str, Any]:
    content: dict[str, Any] = json_format.MessageToDict(task.input)
    return content
