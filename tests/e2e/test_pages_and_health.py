"""What the gateway shows of the platform: health, its own description, who serves what."""

from typing import Any

from automesh.testing.live import LiveStack
from automesh.testing.people import Anybody, Person

SERVICES = {"auth", "control", "orchestrator", "data", "doc", "model", "agent", "gateway"}
PRESCRIBED = {
    "/api/v1/health": {"get"},
    "/api/v1/tasks": {"get", "post"},
    "/api/v1/tasks/{task_id}": {"get", "put", "delete"},
}


def references(document: Any) -> set[str]:
    if isinstance(document, dict):
        own = {document["$ref"]} if isinstance(document.get("$ref"), str) else set()
        return own.union(*map(references, document.values()))
    return set().union(*map(references, document)) if isinstance(document, list) else set()


def test_anybody_hears_whether_the_platform_serves_but_not_what_it_consists_of(stranger: Anybody) -> None:
    health = stranger.done("GET", "/health")

    assert health == {"status": "HEALTH_STATUS_SERVING", "services": []}


def test_people_who_may_look_see_the_health_of_every_service(viewer: Person) -> None:
    health = viewer.done("GET", "/health")

    assert {each["service"]: each["status"] for each in health["services"]} == dict.fromkeys(
        SERVICES, "HEALTH_STATUS_SERVING"
    )


def test_the_mesh_shows_each_process_with_its_address_and_identity(viewer: Person, live: LiveStack) -> None:
    services = viewer.done("GET", "/mesh/services")
    endpoints = viewer.done("GET", "/mesh/endpoints")["endpoints"]
    orchestrator = viewer.done("GET", "/mesh/services/orchestrator/endpoints")["endpoints"]

    assert services["registry"] == "embedded"
    assert {each["name"] for each in services["services"]} == SERVICES
    assert {each["service"] for each in endpoints} == SERVICES
    assert [each["port"] for each in orchestrator] == [live.process("orchestrator").port]
    assert orchestrator[0]["spiffeId"] == "spiffe://automesh.local/ns/dev/sa/orchestrator"


def test_the_description_of_the_interface_is_whole_and_names_the_prescribed_paths(stranger: Anybody) -> None:
    document = stranger.done("GET", "/openapi.json")

    assert document["openapi"].startswith("3.")
    assert {path: set(document["paths"][path]) >= methods for path, methods in PRESCRIBED.items()} == dict.fromkeys(
        PRESCRIBED, True
    )
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    ids = [each["operationId"] for each in operations]
    assert len(ids) == len(set(ids))
    assert all(each["responses"] for each in operations)
    for reference in references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]


def test_every_path_of_the_description_is_served(stranger: Anybody, live: LiveStack) -> None:
    document = stranger.done("GET", "/openapi.json")
    answers = {
        (method, path): stranger.call(method.upper(), live.url + path.replace("{", "").replace("}", ""))
        for path, methods in document["paths"].items()
        for method in methods
    }

    assert {key for key, answer in answers.items() if answer.status_code in (404, 405, 500, 501)} == set()


def test_the_command_line_on_the_same_machine_signs_in_by_itself(live: LiveStack) -> None:
    shown = live.command("task", "submit", "noop", "--watch")

    assert "COMPLETED" in shown
