"""Who may call what."""

from importlib import resources

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from automesh.auth.v1 import audit_service_pb2, certificate_service_pb2, token_service_pb2, user_service_pb2
from automesh.core.errors import PermissionDenied, Unauthenticated
from automesh.mesh.caller import NOBODY, Caller
from automesh.mesh.identity import SpiffeId
from automesh.mesh.policy import AccessTable, Rule, UnruledMethod
from automesh.options.v1 import access_pb2
from automesh.orchestrator.v1 import task_service_pb2, work_service_pb2

GATEWAY = SpiffeId.for_service("automesh.local", "dev", "gateway")
AGENT = SpiffeId.for_service("automesh.local", "dev", "agent")
LAPTOP = SpiffeId.for_client("automesh.local", "dev", "laptop")
TABLE = AccessTable(
    [
        task_service_pb2.DESCRIPTOR.services_by_name["TaskService"],
        work_service_pb2.DESCRIPTOR.services_by_name["WorkService"],
        audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
        token_service_pb2.DESCRIPTOR.services_by_name["TokenService"],
        user_service_pb2.DESCRIPTOR.services_by_name["UserService"],
        certificate_service_pb2.DESCRIPTOR.services_by_name["CertificateService"],
    ]
)
CREATE = "/automesh.orchestrator.v1.TaskService/CreateTask"
WORK = "/automesh.orchestrator.v1.WorkService/Work"
RECORD = "/automesh.auth.v1.AuditService/RecordEvents"
WHO_AM_I = "/automesh.auth.v1.TokenService/WhoAmI"
CREATE_USER = "/automesh.auth.v1.UserService/CreateUser"


def person(*permissions: str, tenant_id: str = "default") -> Caller:
    return Caller(workload=GATEWAY, subject="user_1", tenant_id=tenant_id, permissions=frozenset(permissions))


def test_the_permission_opens_the_method() -> None:
    TABLE.rule(CREATE).check(person("task.create"))


def test_another_permission_does_not() -> None:
    with pytest.raises(PermissionDenied, match=r"task\.create"):
        TABLE.rule(CREATE).check(person("task.read"))


def test_a_service_without_a_token_must_sign_in_where_no_caller_is_named() -> None:
    with pytest.raises(Unauthenticated):
        TABLE.rule(CREATE).check(Caller(workload=GATEWAY))


def test_a_named_service_needs_no_token() -> None:
    TABLE.rule(WORK).check(Caller(workload=AGENT))


def test_a_client_named_like_a_service_is_not_that_service() -> None:
    impostor = SpiffeId.for_client("automesh.local", "dev", "agent")
    with pytest.raises(Unauthenticated):
        TABLE.rule(WORK).check(Caller(workload=impostor))


def test_every_service_may_record_audit_events_but_no_client() -> None:
    TABLE.rule(RECORD).check(Caller(workload=GATEWAY))
    with pytest.raises(PermissionDenied):
        TABLE.rule(RECORD).check(Caller(workload=LAPTOP))


def test_a_signed_in_person_may_ask_who_they_are_and_nobody_else() -> None:
    TABLE.rule(WHO_AM_I).check(person())
    with pytest.raises(Unauthenticated):
        TABLE.rule(WHO_AM_I).check(NOBODY)


def test_naming_another_tenant_is_refused_unless_every_tenant_is_open() -> None:
    request = user_service_pb2.CreateUserRequest(user=user_service_pb2.User(tenant_id="other"))
    rule = TABLE.rule(CREATE_USER)
    with pytest.raises(PermissionDenied, match="other"):
        rule.check_tenant(person("user.write"), request)
    rule.check_tenant(person("user.write", "tenant.any"), request)
    rule.check_tenant(person("user.write", tenant_id="other"), request)


def test_what_changes_something_is_audited_and_what_reads_is_not() -> None:
    assert TABLE.rule(CREATE).audited
    assert not TABLE.rule("/automesh.orchestrator.v1.TaskService/GetTask").audited
    assert not TABLE.rule(RECORD).audited


def test_an_unknown_method_is_denied() -> None:
    with pytest.raises(PermissionDenied):
        TABLE.rule("/somebody.Else/Call")


def test_health_and_reflection_are_open_to_the_mesh() -> None:
    for method in ("/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"):
        rule: Rule = TABLE.rule(method)
        rule.check(Caller(workload=LAPTOP))


def test_a_method_without_a_rule_stops_the_start() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="unruled.proto", package="test", syntax="proto3")
    file.message_type.add(name="Empty")
    service = file.service.add(name="Careless")
    service.method.add(name="Do", input_type=".test.Empty", output_type=".test.Empty")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    with pytest.raises(UnruledMethod, match=r"test\.Careless\.Do"):
        AccessTable([pool.FindServiceByName("test.Careless")])


def test_nothing_that_http_reaches_is_open_to_the_gateway_itself() -> None:
    """Whoever asks the gateway would come in with the gateway's certificate."""
    everything = descriptor_pb2.FileDescriptorSet.FromString(
        resources.files("automesh").joinpath("descriptors.binpb").read_bytes()
    )
    reached = [
        (f"{service.name}/{method.name}", method.options.Extensions[access_pb2.access])
        for file in everything.file
        for service in file.service
        for method in service.method
        if method.options.HasExtension(annotations_pb2.http)
    ]
    assert len(reached) > 20
    assert [name for name, access in reached if {"gateway", "*"} & set(access.callers)] == []
