"""MeshService over gRPC: what there is, where it is, how it is."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.control.v1 import mesh_service_pb2 as pb
from automesh.control.v1 import mesh_service_pb2_grpc as rpc
from automesh.core.errors import NotFound
from automesh.mesh.caller import current_caller
from services.control.convert import STATUS, endpoint_to_proto, health_to_proto, service_to_proto
from services.control.domain.observatory import Observatory
from services.control.domain.topology import Topology

Context = grpc.aio.ServicerContext[Any, Any]


class MeshServicer(rpc.MeshServiceServicer):
    """Reads the snapshot in force."""

    def __init__(self, topology: Topology, observatory: Observatory, *, registry: str) -> None:
        self._topology = topology
        self._observatory = observatory
        self._registry = registry

    async def ListServices(self, request: pb.ListServicesRequest, context: Context) -> pb.ListServicesResponse:
        """Every known service, also those without a process."""
        services = self._topology.snapshot.services
        return pb.ListServicesResponse(
            services=[service_to_proto(name, services[name]) for name in sorted(services)], registry=self._registry
        )

    async def ListEndpoints(self, request: pb.ListEndpointsRequest, context: Context) -> pb.ListEndpointsResponse:
        """The processes of one service, or of all."""
        snapshot = self._topology.snapshot
        if request.service and request.service not in snapshot.services:
            raise NotFound(f"there is no service {request.service!r} in the mesh", service=request.service)
        found = snapshot.services[request.service] if request.service else snapshot.instances()
        return pb.ListEndpointsResponse(
            endpoints=[
                endpoint_to_proto(instance, spiffe_id=self._topology.spiffe_id(instance.service)) for instance in found
            ]
        )

    async def GetHealth(self, request: pb.GetHealthRequest, context: Context) -> pb.GetHealthResponse:
        """The details are for who is signed in."""
        health = await self._observatory.health()
        services = health.services if current_caller().signed_in else ()
        return pb.GetHealthResponse(
            status=STATUS[health.health], services=[health_to_proto(service) for service in services]
        )
