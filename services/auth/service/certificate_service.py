"""CertificateService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.auth.v1 import certificate_service_pb2 as pb
from automesh.auth.v1 import certificate_service_pb2_grpc as rpc
from automesh.mesh.caller import current_caller
from services.auth.convert import chain_to_proto
from services.auth.domain.certificates import CertificateDesk
from services.auth.service.caller import actor, peer_certificate

Context = grpc.aio.ServicerContext[Any, Any]


class CertificateServicer(rpc.CertificateServiceServicer):
    """Signs certificates."""

    def __init__(self, desk: CertificateDesk) -> None:
        self._desk = desk

    async def RenewCertificate(
        self, request: pb.RenewCertificateRequest, context: Context
    ) -> pb.RenewCertificateResponse:
        caller = current_caller()
        chain = await self._desk.renew(
            str(caller.workload), caller.service, request.csr_pem, shown_pem=peer_certificate(context)
        )
        return pb.RenewCertificateResponse(chain=chain_to_proto(chain))

    async def IssueClientCertificate(
        self, request: pb.IssueClientCertificateRequest, context: Context
    ) -> pb.IssueClientCertificateResponse:
        chain = await self._desk.issue_client(actor(), request.name, request.csr_pem)
        return pb.IssueClientCertificateResponse(chain=chain_to_proto(chain))

    async def GetTrustBundle(self, request: pb.GetTrustBundleRequest, context: Context) -> pb.GetTrustBundleResponse:
        return pb.GetTrustBundleResponse(bundle_pem=self._desk.bundle_pem().decode())
