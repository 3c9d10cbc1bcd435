"""A tiny service of the mesh for tests: a process whose every answer names it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from automesh.auth.v1 import token_service_pb2 as pb
from automesh.auth.v1 import token_service_pb2_grpc as rpc
from automesh.core.errors import Unavailable
from automesh.mesh.audit import AuditEvent
from automesh.mesh.auth_client import IssuedChain
from automesh.mesh.process import Mesh, run
from automesh.mesh.server import Bound
from automesh.mesh.settings import MeshSettings


class Settings(MeshSettings):
    service: str = "echo"
    fail_every: int = 0
    """Every so many calls are answered UNAVAILABLE; 0: none."""


class Echo(rpc.TokenServiceServicer):
    """GetJwks is open to everybody in the mesh; the id of its one key is the id of the process."""

    def __init__(self, instance_id: str, fail_every: int) -> None:
        self._instance_id, self._fail_every, self._calls = instance_id, fail_every, 0

    async def GetJwks(self, request: pb.GetJwksRequest, context: Any) -> pb.GetJwksResponse:
        self._calls += 1
        if self._fail_every and self._calls % self._fail_every == 0:
            raise Unavailable("on purpose")
        return pb.GetJwksResponse(keys=[pb.Jwk(kid=self._instance_id)])


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """There is no auth in these tests: nothing is recorded, and the certificate is replaced by the test."""
    mesh.audit_sink = _forget
    mesh.certificate_issuer = _refuse
    echo = Echo(settings.instance_id, settings.fail_every)  # type: ignore[abstract] # the others stay unimplemented
    descriptor = pb.DESCRIPTOR.services_by_name["TokenService"]
    yield [Bound(descriptor, rpc.add_TokenServiceServicer_to_server, echo)]


async def _forget(events: Sequence[AuditEvent]) -> None:
    return None


async def _refuse(csr_pem: bytes) -> IssuedChain:
    raise Unavailable("there is no auth in this test")


if __name__ == "__main__":
    run(Settings(), build)
