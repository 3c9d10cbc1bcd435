"""TaskService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from automesh.mesh.caller import current_caller, current_tenant
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.orchestrator.v1 import task_service_pb2_grpc as rpc
from services.orchestrator.convert import tasks as convert
from services.orchestrator.domain.board import TaskBoard

Context = grpc.aio.ServicerContext[Any, Any]


class TaskServicer(rpc.TaskServiceServicer):
    """The front door for work."""

    def __init__(self, board: TaskBoard) -> None:
        self._board = board

    async def CreateTask(self, request: pb.CreateTaskRequest, context: Context) -> pb.CreateTaskResponse:
        caller = current_caller()
        task = await self._board.create(
            convert.new_task(request.task),
            tenant_id=current_tenant(),
            created_by=caller.subject,
            created_by_name=caller.username,
            request_id=request.request_id,
            traceparent=caller.traceparent,
        )
        return pb.CreateTaskResponse(task=convert.task(task))

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        task = await self._board.get(current_tenant(), request.task_id)
        return pb.GetTaskResponse(task=convert.task(task))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        page = await self._board.list(current_tenant(), convert.query(request))
        return pb.ListTasksResponse(
            tasks=[convert.task(task) for task in page.tasks],
            next_page_token=convert.page_token(page.tasks[-1], request) if page.more else "",
        )

    async def UpdateTask(self, request: pb.UpdateTaskRequest, context: Context) -> pb.UpdateTaskResponse:
        changes = convert.changes(request.task, request.update_mask.paths)
        task = await self._board.update(current_tenant(), request.task_id, changes)
        return pb.UpdateTaskResponse(task=convert.task(task))

    async def DeleteTask(self, request: pb.DeleteTaskRequest, context: Context) -> pb.DeleteTaskResponse:
        await self._board.delete(current_tenant(), request.task_id)
        return pb.DeleteTaskResponse()

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:
        task = await self._board.cancel(current_tenant(), request.task_id, request.reason)
        return pb.CancelTaskResponse(task=convert.task(task))

    async def WatchTask(
        self, request: pb.WatchTaskRequest, context: Context
    ) -> AsyncGenerator[pb.WatchTaskResponse, None]:
        tenant_id = current_tenant()
        async with aclosing(self._board.watch(tenant_id, request.task_id, convert.sequence(request))) as updates:
            async for update in updates:
                yield convert.task_update(update)
