"""Renews the client certificate of a program, on behalf of whoever its token stands for."""

from __future__ import annotations

from automesh.auth.v1 import certificate_service_pb2 as pb
from automesh.auth.v1 import certificate_service_pb2_grpc as rpc
from automesh.mesh.auth_client import IssuedChain
from automesh.mesh.errors import translating_errors
from automesh.mesh.identity import SpiffeId
from automesh.sdk.connection import Connection

TIMEOUT_S = 10.0
_TENANT_MARK = "--"  # "<tenant>--<name>": auth puts the tenant in front by itself


class ClientCertificates:
    """A CertificateIssuer for a client identity. The token needs the permission certificate.issue."""

    def __init__(self, connection: Connection, identity: SpiffeId) -> None:
        self._connection = connection
        self._name = identity.client.rpartition(_TENANT_MARK)[2]

    async def issue(self, csr_pem: bytes) -> IssuedChain:
        """A new certificate of the same name."""
        stub = rpc.CertificateServiceStub(self._connection.channel("auth"))
        request = pb.IssueClientCertificateRequest(csr_pem=csr_pem.decode(), name=self._name)
        metadata = await self._connection.metadata()
        with translating_errors():
            chain = (await stub.IssueClientCertificate(request, metadata=metadata, timeout=TIMEOUT_S)).chain
        return IssuedChain(chain.certificate_pem.encode(), chain.bundle_pem.encode())
