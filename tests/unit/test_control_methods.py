"""Which rpcs the mesh may send twice."""

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from services.control.clients.methods import repeatable_methods
from services.control.resources.listener import listener

TASKS = "/automesh.orchestrator.v1.TaskService"


def test_reads_and_what_is_recognised_when_it_comes_again_are_repeatable() -> None:
    repeatable = set(repeatable_methods())
    assert {f"{TASKS}/GetTask", f"{TASKS}/WatchTask", f"{TASKS}/CreateTask", f"{TASKS}/DeleteTask"} <= repeatable


def test_what_would_be_done_twice_is_not() -> None:
    repeatable = set(repeatable_methods())
    once = {
        f"{TASKS}/CancelTask",
        "/automesh.auth.v1.ApiKeyService/CreateApiKey",
        "/automesh.auth.v1.TokenService/RefreshToken",
        "/automesh.orchestrator.v1.WorkService/Work",
        "/automesh.orchestrator.v1.ArtifactService/UploadArtifact",
    }
    assert not once & repeatable


def test_only_routes_of_repeatable_methods_retry_and_the_last_takes_all() -> None:
    manager = HttpConnectionManager()
    listener("orchestrator", repeatable=["/a/B"]).api_listener.api_listener.Unpack(manager)
    retried, rest = manager.route_config.virtual_hosts[0].routes
    policy = retried.route.retry_policy
    assert (retried.match.path, policy.retry_on, policy.num_retries.value) == ("/a/B", "unavailable", 2)
    assert rest.match.prefix == ""
    assert not rest.route.HasField("retry_policy")
