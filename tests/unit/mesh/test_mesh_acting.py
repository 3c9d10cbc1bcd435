"""Acting for somebody: what a trusted service may say of whom it calls for, and who may not say it."""

from collections.abc import AsyncGenerator, Awaitable

import grpc
import pytest

from automesh.auth.v1 import audit_service_pb2, audit_service_pb2_grpc
from automesh.core.errors import AutomationError, PermissionDenied, Unauthenticated, ValidationError
from automesh.mesh.acting import SUBJECT, TENANT, acting_for, acting_metadata
from automesh.mesh.caller import NOBODY, Caller, caller_is, current_caller, current_tenant
from automesh.mesh.channel import MeshChannel
from automesh.mesh.errors import from_rpc_error
from automesh.mesh.identity import SpiffeId
from automesh.mesh.policy import Rule
from automesh.mesh.server import Bound
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.orchestrator.v1 import task_service_pb2_grpc as rpc
from automesh.orchestrator.v1 import work_service_pb2, work_service_pb2_grpc
from automesh.testing.mesh import InProcessMesh, in_process_mesh

FORGED = ((TENANT, "victim"), (SUBJECT, "user_victim"))


def seen() -> str:
    """What the guard made of the call."""
    caller = current_caller()
    return f"{caller.service}|{caller.tenant_id}|{caller.subject}|{caller.signed_in}|{sorted(caller.permissions)}"


class Tasks(rpc.TaskServiceServicer):
    """Answers with who called; GetTask and CreateTask name data and model, ListTasks and DeleteTask nobody."""

    async def CreateTask(self, request: pb.CreateTaskRequest, context: object) -> pb.CreateTaskResponse:
        response = pb.CreateTaskResponse()
        response.task.description = seen()
        return response

    async def GetTask(self, request: pb.GetTaskRequest, context: object) -> pb.GetTaskResponse:
        response = pb.GetTaskResponse()
        response.task.description = seen()
        response.task.tenant_id = current_tenant()
        return response

    async def ListTasks(self, request: pb.ListTasksRequest, context: object) -> pb.ListTasksResponse:
        return pb.ListTasksResponse(next_page_token=seen())


class Work(work_service_pb2_grpc.WorkServiceServicer):
    """Register names the agent service."""

    async def Register(
        self, request: work_service_pb2.RegisterRequest, context: object
    ) -> work_service_pb2.RegisterResponse:
        return work_service_pb2.RegisterResponse(agent_id=seen())


class Audit(audit_service_pb2_grpc.AuditServiceServicer):
    """RecordEvents is open to every service."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def RecordEvents(
        self, request: audit_service_pb2.RecordEventsRequest, context: object
    ) -> audit_service_pb2.RecordEventsResponse:
        self.seen.append(seen())
        return audit_service_pb2.RecordEventsResponse()


@pytest.fixture
def audit() -> Audit:
    return Audit()


@pytest.fixture
async def mesh(audit: Audit) -> AsyncGenerator[InProcessMesh]:
    bounds = [
        Bound(pb.DESCRIPTOR.services_by_name["TaskService"], rpc.add_TaskServiceServicer_to_server, Tasks()),
        Bound(
            work_service_pb2.DESCRIPTOR.services_by_name["WorkService"],
            work_service_pb2_grpc.add_WorkServiceServicer_to_server,
            Work(),
        ),
        Bound(
            audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
            audit_service_pb2_grpc.add_AuditServiceServicer_to_server,
            audit,
        ),
    ]
    async with in_process_mesh("orchestrator", bounds) as running:
        yield running


async def refusal(call: Awaitable[object]) -> AutomationError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_a_named_service_acts_for_the_person_it_names(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(MeshChannel(await mesh.channel("data")))
    with acting_for("acme", "user_ann"):
        response = await stub.GetTask(pb.GetTaskRequest(task_id="task_1"))
    assert response.task.description == "data|acme|user_ann|False|[]"
    assert response.task.tenant_id == "acme"


async def test_the_audit_names_the_person_and_the_service(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(MeshChannel(await mesh.channel("model")))
    with acting_for("acme", "user_ann"):
        await stub.CreateTask(pb.CreateTaskRequest())
    entry = mesh.audited[-1]
    assert (entry.tenant_id, entry.subject) == ("acme", "user_ann")
    assert entry.workload == "spiffe://automesh.local/ns/dev/sa/model"


async def test_a_service_acts_for_a_tenant_without_a_person(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(MeshChannel(await mesh.channel("data")))
    with acting_for("acme"):
        response = await stub.GetTask(pb.GetTaskRequest())
    assert response.task.description == "data|acme||False|[]"


async def test_a_named_service_that_acts_for_nobody_has_no_tenant(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(MeshChannel(await mesh.channel("data")))
    assert isinstance(await refusal(stub.GetTask(pb.GetTaskRequest())), PermissionDenied)
    assert (await stub.CreateTask(pb.CreateTaskRequest())).task.description == "data|||False|[]"


async def test_a_subject_without_a_tenant_is_ignored(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(await mesh.channel("data"))
    response = await stub.CreateTask(pb.CreateTaskRequest(), metadata=(FORGED[1],))
    assert response.task.description == "data|||False|[]"


async def test_what_is_no_id_is_refused(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(await mesh.channel("data"))
    refused = await refusal(stub.CreateTask(pb.CreateTaskRequest(), metadata=((TENANT, "x" * 300),)))
    assert isinstance(refused, PermissionDenied)


async def test_a_client_certificate_named_like_a_trusted_service_acts_for_nobody(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(await mesh.channel("data", client=True))
    refused = await refusal(stub.GetTask(pb.GetTaskRequest(), metadata=FORGED))
    assert isinstance(refused, Unauthenticated)
    entry = mesh.audited[-1]
    assert (entry.tenant_id, entry.subject) == ("", "")


@pytest.mark.parametrize("service", ["agent", "gateway", "control"])
async def test_a_service_that_the_rule_does_not_name_acts_for_nobody(mesh: InProcessMesh, service: str) -> None:
    stub = rpc.TaskServiceStub(await mesh.channel(service))
    assert isinstance(await refusal(stub.CreateTask(pb.CreateTaskRequest(), metadata=FORGED)), Unauthenticated)


async def test_a_trusted_service_acts_only_where_the_rule_names_it(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(await mesh.channel("data"))
    assert isinstance(await refusal(stub.ListTasks(pb.ListTasksRequest(), metadata=FORGED)), Unauthenticated)


async def test_a_method_open_to_every_service_lets_none_act(mesh: InProcessMesh, audit: Audit) -> None:
    for service in ("data", "agent"):
        stub = audit_service_pb2_grpc.AuditServiceStub(await mesh.channel(service))
        await stub.RecordEvents(audit_service_pb2.RecordEventsRequest(), metadata=FORGED)
    assert audit.seen == ["data|||False|[]", "agent|||False|[]"]


async def test_a_token_says_by_itself_whose_call_it_is(mesh: InProcessMesh) -> None:
    token = mesh.mint.mint(["task.create"], subject="user_bob", tenant_id="beta")
    for caller in ("data", "gateway"):
        stub = rpc.TaskServiceStub(await mesh.channel(caller, token=token))
        response = await stub.CreateTask(pb.CreateTaskRequest(), metadata=FORGED)
        assert response.task.description == f"{caller}|beta|user_bob|True|['task.create']"


async def test_a_person_with_a_client_certificate_stays_who_the_token_says(mesh: InProcessMesh) -> None:
    token = mesh.mint.mint(["task.create"], subject="user_bob", tenant_id="beta")
    stub = rpc.TaskServiceStub(await mesh.channel("laptop", client=True, token=token))
    response = await stub.CreateTask(pb.CreateTaskRequest(), metadata=FORGED)
    assert response.task.description == "|beta|user_bob|True|['task.create']"


async def test_a_bad_token_is_refused_although_the_service_could_act(mesh: InProcessMesh) -> None:
    stub = rpc.TaskServiceStub(await mesh.channel("data", token="nonsense"))
    refused = await refusal(stub.CreateTask(pb.CreateTaskRequest(), metadata=FORGED))
    assert isinstance(refused, Unauthenticated)
    assert mesh.audited[-1].tenant_id == ""


async def test_agents_act_for_nobody_even_where_the_rule_names_them(mesh: InProcessMesh) -> None:
    stub = work_service_pb2_grpc.WorkServiceStub(await mesh.channel("agent"))
    response = await stub.Register(work_service_pb2.RegisterRequest(), metadata=FORGED)
    assert response.agent_id == "agent|||False|[]"


def test_acting_opens_no_method_by_itself() -> None:
    data = SpiffeId.for_service("automesh.local", "dev", "data")
    acting = Caller(workload=data, tenant_id="acme", subject="user_ann", acting=True)
    with pytest.raises(Unauthenticated):
        Rule(method="x.Y/Signed", signed_in=True).check(acting)
    with pytest.raises(Unauthenticated):
        Rule(method="x.Y/Permitted", permission="task.read").check(acting)


def test_a_rule_that_names_every_service_lets_no_service_called_star_act() -> None:
    data = SpiffeId.for_service("automesh.local", "dev", "data")
    assert not Rule(method="x.Y/Z", callers=frozenset({"*"})).lets_act(Caller(workload=data))
    assert Rule(method="x.Y/Z", callers=frozenset({"*", "data"})).lets_act(Caller(workload=data))
    assert not Rule(method="x.Y/Z", callers=frozenset({"*"})).lets_act(NOBODY)


def test_acting_ends_with_its_block_and_needs_a_tenant() -> None:
    with acting_for("acme", "user_ann"):
        with acting_for("beta"):
            assert acting_metadata() == [(TENANT, "beta")]
        assert acting_metadata() == [(TENANT, "acme"), (SUBJECT, "user_ann")]
    assert acting_metadata() == []
    with pytest.raises(ValidationError), acting_for("", "user_ann"):
        pass


async def test_a_call_that_carries_a_token_does_not_say_for_whom_it_is_as_well() -> None:
    sent: list[list[tuple[str, str]]] = []

    class Recording:
        def unary_unary(self, *_: object, **__: object) -> object:
            return lambda *_request, metadata, **_options: sent.append(metadata)

    call = MeshChannel(Recording()).unary_unary("/x.Y/Z")  # type: ignore[arg-type] # the part that is used
    with acting_for("acme", "user_ann"):
        call(b"", metadata=(("authorization", "Bearer x"),))
        call(b"")
    assert sent == [[("authorization", "Bearer x")], [(TENANT, "acme"), (SUBJECT, "user_ann")]]


def test_the_current_tenant_is_that_of_the_call() -> None:
    with caller_is(Caller(tenant_id="acme")):
        assert current_tenant() == "acme"
    with pytest.raises(PermissionDenied, match="sign in"):
        current_tenant()
