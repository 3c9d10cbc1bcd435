"""What the gateway serves of automesh's own protos, and how bad rules are refused."""

import json
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from gateway.binding import BadBinding
from gateway.descriptors import BadDescriptors, Catalog, load_catalog, own_descriptors
from gateway.routing import RouteConflict, parse_path
from gateway.site import Site, build_site

PRESCRIBED = [
    ("POST", "/api/v1/tasks", "CreateTask"),
    ("GET", "/api/v1/tasks/{task_id}", "GetTask"),
    ("PUT", "/api/v1/tasks/{task_id}", "UpdateTask"),
    ("DELETE", "/api/v1/tasks/{task_id}", "DeleteTask"),
    ("GET", "/api/v1/health", "GetHealth"),
]


@pytest.fixture(scope="module")
def site() -> Site:
    return build_site(load_catalog(own_descriptors()), version="1.2.3")


def rpc_of(site: Site, method: str, path: str) -> str:
    match = site.routes.match(method, parse_path(path.encode()))
    return match.target.rpc.full_name.rpartition(".")[2] if match else ""


@pytest.mark.parametrize(("method", "template", "rpc"), PRESCRIBED)
def test_the_prescribed_paths_exist_exactly(site: Site, method: str, template: str, rpc: str) -> None:
    served = {(each.rule.method, each.rule.template): each.rpc.full_name.rpartition(".")[2] for each in site.endpoints}
    assert served[method, template] == rpc


@pytest.mark.parametrize(
    ("method", "path", "rpc"),
    [
        ("GET", "/api/v1/tasks", "ListTasks"),
        ("GET", "/api/v1/tasks/task_1", "GetTask"),
        ("POST", "/api/v1/tasks/task_1:cancel", "CancelTask"),
        ("GET", "/api/v1/tasks/task_1:watch", "WatchTask"),
        ("GET", "/api/v1/tasks/task_1/artifacts", "ListArtifacts"),
        ("GET", "/api/v1/tasks/task_1/artifacts/tests/test_x.py", "DownloadArtifact"),
        ("GET", "/api/v1/mesh/services/orchestrator/endpoints", "ListEndpoints"),
        ("GET", "/api/v1/mesh/endpoints", "ListEndpoints"),
        ("POST", "/api/v1/users:changePassword", "ChangePassword"),
        ("POST", "/api/v1/auth/login", "Login"),
        ("POST", "/api/v1/agents", ""),
    ],
)
def test_requests_reach_their_rpc(site: Site, method: str, path: str, rpc: str) -> None:
    assert rpc_of(site, method, path) == rpc


def test_every_rpc_goes_to_the_service_named_by_its_package(site: Site) -> None:
    assert {each.rpc.service for each in site.endpoints} == {
        "agent",
        "auth",
        "control",
        "data",
        "doc",
        "model",
        "orchestrator",
    }
    for each in site.endpoints:
        assert each.rpc.full_name.startswith(f"automesh.{each.rpc.service}.")


def test_what_the_mesh_keeps_for_itself_has_no_route(site: Site) -> None:
    names = {each.rpc.full_name.rpartition(".")[2] for each in site.endpoints}
    assert not names & {"Work", "Register", "HoldRegistration", "RecordEvents", "RenewCertificate", "UploadArtifact"}


def test_a_bare_task_is_the_body_and_the_answer(site: Site) -> None:
    match = site.routes.match("POST", parse_path(b"/api/v1/tasks"))
    assert match is not None
    message: Any = match.target.binder.bind({}, b"request_id=r1", b'{"type": "noop", "priority": 0, "input": {"a": 1}}')
    assert (message.task.type, message.request_id) == ("noop", "r1")
    assert message.task.HasField("priority")
    response = match.target.response(message.SerializeToString())  # field 1 is the task in both
    shown = json.loads(match.target.json(response))
    assert (shown["type"], shown["priority"], shown["input"]) == ("noop", 0, {"a": 1})
    assert shown["status"] == "TASK_STATUS_UNSPECIFIED"


def document(site: Site) -> Any:
    return json.loads(site.pages[b"/api/v1/openapi.json"].body)


def test_the_document_describes_operations_from_comments(site: Site) -> None:
    doc = document(site)
    assert doc["info"]["version"] == "1.2.3"
    create = doc["paths"]["/api/v1/tasks"]["post"]
    assert create["operationId"] == "TaskService_CreateTask"
    assert create["summary"] == "Stores a task durably and answers once it is stored"
    assert "task.create" in create["description"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "automesh.orchestrator.v1.Task"
    )
    assert [each["name"] for each in create["parameters"]] == ["requestId"]
    watch = doc["paths"]["/api/v1/tasks/{task_id}:watch"]["get"]
    assert set(watch["responses"]["200"]["content"]) == {"application/x-ndjson", "text/event-stream"}
    assert doc["paths"]["/api/v1/health"]["get"]["security"] == [{}, {"bearer": []}]
    download = doc["paths"]["/api/v1/tasks/{task_id}/artifacts/{name}"]["get"]
    assert [each["name"] for each in download["parameters"]] == ["task_id", "name"]


def test_the_document_marks_what_only_the_server_sets(site: Site) -> None:
    task = document(site)["components"]["schemas"]["automesh.orchestrator.v1.Task"]
    assert task["properties"]["status"]["readOnly"] is True
    assert "TASK_STATUS_RUNNING" in task["properties"]["status"]["enum"]
    assert task["properties"]["timeout"]["pattern"]
    assert task["properties"]["createTime"]["format"] == "date-time"
    assert "readOnly" not in task["properties"]["type"]


def test_every_reference_of_the_document_leads_somewhere_and_ids_are_unique(echo: Catalog) -> None:
    for each in (build_site(echo), build_site(load_catalog(own_descriptors()))):
        doc = document(each)
        ids = [operation["operationId"] for path in doc["paths"].values() for operation in path.values()]
        assert len(ids) == len(set(ids))
        for reference in references(doc):
            name = reference.removeprefix("#/components/schemas/")
            assert name in doc["components"]["schemas"]
        for path, operations in doc["paths"].items():
            for operation in operations.values():
                named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
                assert named == {part.partition("}")[0] for part in path.split("{")[1:]}, path


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for each in value.values() for found in references(each)]
    return [found for each in value for found in references(each)] if isinstance(value, list) else []


def changed(method: str, **rule: Any) -> bytes:
    """A descriptor set whose one rpc has the given rule."""
    files = descriptor_pb2.FileDescriptorSet.FromString(own_descriptors())
    for file in files.file:
        for service in file.service:
            for each in service.method:
                if each.name == method:
                    target = each.options.Extensions[annotations_pb2.http]
                    target.Clear()
                    for key, value in rule.items():
                        setattr(target, key, value)
    return files.SerializeToString()


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"get": "/x/{nosuch}"}, "nosuch"),
        ({"get": "/x/{status}"}, "repeated"),
        ({"post": "/x", "body": "nosuch"}, "body field nosuch"),
        ({"get": "/x", "response_body": "nosuch"}, "response field nosuch"),
    ],
)
def test_a_rule_that_does_not_fit_its_messages_is_refused(rule: dict[str, str], says: str) -> None:
    with pytest.raises(BadBinding, match=says):
        build_site(load_catalog(changed("ListTasks", **rule)))


def test_two_rpcs_on_one_path_are_refused() -> None:
    with pytest.raises(RouteConflict):
        build_site(load_catalog(changed("ListTasks", get="/api/v1/tasks/{page_token}")))


def test_a_set_without_its_imports_is_refused_with_what_to_do() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(own_descriptors())
    alone = descriptor_pb2.FileDescriptorSet(
        file=[file for file in files.file if file.name.endswith("task_service.proto")]
    )
    with pytest.raises(BadDescriptors, match="--include_imports"):
        load_catalog(alone.SerializeToString())


def test_one_file_in_two_sets_is_fine_but_not_two_files_of_one_name(echo_descriptors: bytes) -> None:
    assert len(load_catalog(echo_descriptors, echo_descriptors).rpcs) == len(load_catalog(echo_descriptors).rpcs)
    with pytest.raises(BadDescriptors, match="different files named"):
        load_catalog(own_descriptors(), changed("ListTasks", get="/x"))
