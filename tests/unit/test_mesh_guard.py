"""The guard around every rpc, on a real mutual-TLS server."""

from collections.abc import AsyncGenerator

import grpc
import pytest

from automesh.control.v1 import mesh_service_pb2 as pb
from automesh.control.v1 import mesh_service_pb2_grpc as rpc
from automesh.core.errors import Exhausted, NotFound, PermissionDenied, Unauthenticated, ValidationError
from automesh.mesh.caller import current_caller
from automesh.mesh.errors import from_rpc_error
from automesh.mesh.server import Bound
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.tokens import TokenMint


class Sample(rpc.MeshServiceServicer):
    """Answers with who called; fails on demand."""

    async def GetHealth(self, request: pb.GetHealthRequest, context: object) -> pb.GetHealthResponse:
        caller = current_caller()
        return pb.GetHealthResponse(services=[pb.ServiceHealth(service=f"{caller.service}|{caller.subject}")])

    async def ListEndpoints(self, request: pb.ListEndpointsRequest, context: object) -> pb.ListEndpointsResponse:
        match request.service:
            case "lost":
                raise NotFound("service lost is not here", service="lost")
            case "wrong":
                raise ValidationError("service is wrong", field="service")
            case "busy":
                from datetime import timedelta

                raise Exhausted("come later", retry_after=timedelta(seconds=2))
        raise RuntimeError("secret text")


@pytest.fixture
async def mesh() -> AsyncGenerator[InProcessMesh]:
    bound = Bound(pb.DESCRIPTOR.services_by_name["MeshService"], rpc.add_MeshServiceServicer_to_server, Sample())
    async with in_process_mesh("control", [bound]) as running:
        yield running


async def failure(call: object) -> Exception:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return from_rpc_error(caught.value)


async def test_the_servicer_knows_workload_and_person(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.signed_in(["mesh.read"], subject="user_ann"))
    response = await stub.GetHealth(pb.GetHealthRequest())
    assert response.services[0].service == "gateway|user_ann"


async def test_an_anonymous_method_needs_no_token(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.channel("agent"))
    assert (await stub.GetHealth(pb.GetHealthRequest())).services[0].service == "agent|"


async def test_a_method_with_a_permission_refuses_callers_without_a_token(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.channel("gateway"))
    error = await failure(stub.ListServices(pb.ListServicesRequest()))
    assert isinstance(error, Unauthenticated)
    assert mesh.audited[-1].outcome == "UNAUTHENTICATED"


async def test_a_token_without_the_permission_is_refused_by_name(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.signed_in(["task.read"]))
    error = await failure(stub.ListServices(pb.ListServicesRequest()))
    assert isinstance(error, PermissionDenied)
    assert "mesh.read" in str(error)
    assert (mesh.audited[-1].subject, mesh.audited[-1].outcome) == ("user_test", "PERMISSION_DENIED")


async def test_a_token_of_another_mint_is_refused(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.channel("gateway", token=TokenMint().mint(["mesh.read"])))
    assert isinstance(await failure(stub.ListServices(pb.ListServicesRequest())), Unauthenticated)


async def test_errors_come_back_as_the_classes_that_were_raised(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.signed_in(["mesh.read"]))
    lost = await failure(stub.ListEndpoints(pb.ListEndpointsRequest(service="lost")))
    assert isinstance(lost, NotFound)
    assert lost.metadata == {"service": "lost"}
    wrong = await failure(stub.ListEndpoints(pb.ListEndpointsRequest(service="wrong")))
    assert isinstance(wrong, ValidationError)
    assert wrong.violations[0].field == "service"
    busy = await failure(stub.ListEndpoints(pb.ListEndpointsRequest(service="busy")))
    assert isinstance(busy, Exhausted)
    assert busy.retry_after is not None
    assert busy.retry_after.total_seconds() == 2


async def test_what_is_unforeseen_tells_nothing_to_the_caller(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.signed_in(["mesh.read"]))
    error = await failure(stub.ListEndpoints(pb.ListEndpointsRequest(service="boom")))
    assert str(error) == "internal error"


async def test_an_unimplemented_method_says_so(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.signed_in(["mesh.read"]))
    assert (await failure(stub.ListServices(pb.ListServicesRequest()))).reason == "UNIMPLEMENTED"


@pytest.mark.parametrize("where", ["automesh.local/ns/other", "elsewhere.test/ns/dev"])
async def test_a_service_of_another_environment_or_trust_domain_is_nobody(mesh: InProcessMesh, where: str) -> None:
    stranger = mesh.ca._stored(mesh.folder / "stranger", mesh.ca.identity([f"spiffe://{where}/sa/gateway"]))
    stub = rpc.MeshServiceStub(await mesh.channel(identity=stranger))
    error = await failure(stub.GetHealth(pb.GetHealthRequest()))
    assert isinstance(error, Unauthenticated)
    assert "is not ours" in error.message


async def test_a_certificate_with_two_uris_is_nobody(mesh: InProcessMesh) -> None:
    uris = ["spiffe://automesh.local/ns/dev/sa/agent", "spiffe://automesh.local/ns/dev/sa/control"]
    two = mesh.ca._stored(mesh.folder / "two", mesh.ca.identity(uris))
    stub = rpc.MeshServiceStub(await mesh.channel(identity=two))
    assert isinstance(await failure(stub.GetHealth(pb.GetHealthRequest())), Unauthenticated)


async def test_nobody_can_fill_the_audit_log_with_denials(mesh: InProcessMesh) -> None:
    stub = rpc.MeshServiceStub(await mesh.channel("gateway"))
    for _ in range(300):
        await failure(stub.ListServices(pb.ListServicesRequest()))
    assert 200 <= len(mesh.audited) < 300
    signed_in = rpc.MeshServiceStub(await mesh.signed_in([]))
    await failure(signed_in.ListServices(pb.ListServicesRequest()))
    assert mesh.audited[-1].subject == "user_test"
