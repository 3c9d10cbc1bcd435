"""The orchestrator over gRPC, asked what an agent's lease is for."""

from __future__ import annotations

import grpc
from google.protobuf import json_format

from automesh.mesh.errors import translating_errors
from automesh.orchestrator.v1 import work_service_pb2
from automesh.orchestrator.v1 import work_service_pb2_grpc as work_rpc
from services.doc.domain.transfer.ports import Lease


class OrchestratorTasks:
    """A services.doc.domain.transfer.ports.Tasks."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._work = work_rpc.WorkServiceStub(channel)

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
            created_by=task.created_by_name or task.created_by,
            input=json_format.MessageToDict(task.input),
        )
