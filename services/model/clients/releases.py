"""Tells the data service that a model does not exist any more."""

from __future__ import annotations

import grpc

from automesh.data.v1 import processing_service_pb2 as pb
from automesh.data.v1 import processing_service_pb2_grpc as rpc
from automesh.mesh.acting import acting_for
from automesh.mesh.errors import translating_errors


class GrpcReleases:
    """A services.model.domain.registry_ports.Datasets."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.ProcessingServiceStub(channel)

    async def release(self, tenant_id: str, model_id: str) -> None:
        """All versions of the model at once."""
        with acting_for(tenant_id), translating_errors():
            await self._stub.RemoveDependent(pb.RemoveDependentRequest(model_id=model_id))
