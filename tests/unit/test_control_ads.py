"""xDS, state of the world: what a client is sent, when, and what it is never sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.rpc.status_pb2 import Status

from automesh.core.errors import Exhausted, ValidationError
from services.control.domain.instance import Instance
from services.control.domain.topology import Topology
from services.control.resources.bundle import CLUSTER, ENDPOINTS, LISTENER, BundleMaker
from services.control.service import ads_stream
from services.control.service.ads import AdsServicer
from services.control.service.ads_stream import AdsStream

LIMIT_S = 5.0


def spiffe_id(service: str) -> str:
    return f"spiffe://automesh.local/ns/dev/sa/{service}"


def instance(name: str, service: str = "echo", *, port: int = 4001, zone: str = "") -> Instance:
    return Instance(
        instance_id=name, service=service, address="127.0.0.1", port=port, metadata={"zone": zone} if zone else {}
    )


class Client:
    """One client's stream, without the stream."""

    def __init__(self, *instances: Instance, expected: Iterable[str] = ()) -> None:
        self.topology = Topology(expected, spiffe_id=spiffe_id)
        self.topology.update(instances)
        self.maker = BundleMaker(spiffe_id)
        self.stream = AdsStream("e")

    def asks(self, type_url: str, *names: str, nonce: str = "", error: str = "") -> ads_stream.Nack | None:
        request = DiscoveryRequest(type_url=type_url, resource_names=names, response_nonce=nonce)
        if error:
            request.error_detail.CopyFrom(Status(message=error))
        return self.stream.take(request)

    def gets(self) -> list[DiscoveryResponse]:
        return list(self.stream.due(self.maker.bundle(self.topology.snapshot)))


def names(response: DiscoveryResponse) -> list[str]:
    kinds = {LISTENER: Listener, CLUSTER: Cluster, ENDPOINTS: ClusterLoadAssignment}
    found = [kinds[response.type_url].FromString(each.value) for each in response.resources]
    return [each.cluster_name if response.type_url == ENDPOINTS else each.name for each in found]


def ports(response: DiscoveryResponse) -> list[int]:
    assignment = ClusterLoadAssignment.FromString(response.resources[0].value)
    return [
        endpoint.endpoint.address.socket_address.port_value
        for zone in assignment.endpoints
        for endpoint in zone.lb_endpoints
    ]


def test_a_client_gets_what_it_asked_for_and_nothing_else() -> None:
    client = Client(instance("a"), instance("b", "other", port=4002))
    client.asks(LISTENER, "echo")
    (response,) = client.gets()
    assert names(response) == ["echo"]
    assert response.nonce
    assert response.version_info


def test_what_was_sent_is_not_sent_again() -> None:
    client = Client(instance("a"))
    client.asks(CLUSTER, "echo")
    (response,) = client.gets()
    assert client.gets() == []
    client.asks(CLUSTER, "echo", nonce=response.nonce)  # the ACK
    assert client.gets() == []


def test_a_refused_response_is_reported_and_not_sent_again() -> None:
    client = Client(instance("a"))
    client.asks(CLUSTER, "echo")
    (response,) = client.gets()
    nack = client.asks(CLUSTER, "echo", nonce=response.nonce, error="cannot parse")
    assert nack == ads_stream.Nack(CLUSTER, response.version_info, "cannot parse")
    assert client.gets() == []


def test_a_change_is_sent_with_a_new_version_to_those_it_concerns() -> None:
    client = Client(instance("a"), instance("b", "other", port=4002))
    client.asks(ENDPOINTS, "echo")
    client.asks(LISTENER, "echo")
    before = {response.type_url: response for response in client.gets()}
    client.topology.update([instance("a"), instance("c", port=4003), instance("b", "other", port=4002)])
    (response,) = client.gets()
    assert (response.type_url, ports(response)) == (ENDPOINTS, [4001, 4003])
    assert response.version_info != before[ENDPOINTS].version_info
    client.topology.update([instance("a"), instance("c", port=4003)])
    assert client.gets() == [], "what became of another service is no news"


def test_a_service_without_processes_keeps_its_listener_and_has_no_endpoints() -> None:
    client = Client(instance("a"))
    client.asks(LISTENER, "echo")
    client.asks(ENDPOINTS, "echo")
    client.gets()
    client.topology.update([])
    (response,) = client.gets()
    assert (response.type_url, ports(response)) == (ENDPOINTS, [])


def test_an_unknown_service_is_answered_once_it_appears() -> None:
    client = Client()
    client.asks(LISTENER, "echo")
    assert client.gets() == []
    client.topology.update([instance("a")])
    (response,) = client.gets()
    assert names(response) == ["echo"]


def test_an_expected_service_is_answered_before_it_has_processes() -> None:
    client = Client(expected=["echo"])
    client.asks(LISTENER, "echo")
    client.asks(ENDPOINTS, "echo")
    assert {response.type_url for response in client.gets()} == {LISTENER, ENDPOINTS}


def test_one_more_name_brings_all_names_again() -> None:
    client = Client(instance("a"), instance("b", "other", port=4002))
    client.asks(LISTENER, "echo")
    (first,) = client.gets()
    client.asks(LISTENER, "echo", "other", nonce=first.nonce)
    (second,) = client.gets()
    assert names(second) == ["echo", "other"], "state of the world: what is missing would be taken as deleted"


def test_a_name_given_up_and_asked_for_again_is_sent_again() -> None:
    client = Client(instance("a"))
    client.asks(CLUSTER, "echo")
    (first,) = client.gets()
    client.asks(CLUSTER, nonce=first.nonce)
    assert client.gets() == []
    client.asks(CLUSTER, "echo", nonce=first.nonce)
    (second,) = client.gets()
    assert names(second) == ["echo"]


def test_what_answers_an_older_response_is_ignored() -> None:
    client = Client(instance("a"), instance("b", "other", port=4002))
    client.asks(ENDPOINTS, "echo")
    (first,) = client.gets()
    client.topology.update([instance("a", port=4009)])
    client.gets()
    assert client.asks(ENDPOINTS, "other", nonce=first.nonce, error="late") is None
    assert client.gets() == []


def test_a_client_that_names_nothing_first_gets_everything() -> None:
    client = Client(instance("a"), instance("b", "other", port=4002))
    client.asks(CLUSTER)
    (first,) = client.gets()
    assert names(first) == ["echo", "other"]
    client.asks(CLUSTER, nonce=first.nonce)
    client.topology.update([instance("c", "third", port=4003)])
    (second,) = client.gets()
    assert names(second) == ["echo", "other", "third"]


def test_types_we_do_not_serve_are_ignored() -> None:
    client = Client(instance("a"))
    assert client.asks("type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "echo") is None
    assert client.gets() == []


def test_a_client_that_names_far_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ads_stream, "MAX_NAMES", 2)
    with pytest.raises(ValidationError):
        Client().asks(LISTENER, "a", "b", "c")


def test_the_listener_leads_to_the_cluster_of_its_name_and_sets_no_deadline() -> None:
    client = Client(instance("a"))
    client.asks(LISTENER, "echo")
    (response,) = client.gets()
    listener = Listener.FromString(response.resources[0].value)
    manager = HttpConnectionManager.FromString(listener.api_listener.api_listener.value)
    (route,) = manager.route_config.virtual_hosts[0].routes
    assert route.route.cluster == "echo"
    assert not route.route.HasField("max_stream_duration")


def test_the_cluster_demands_the_identity_of_the_service() -> None:
    client = Client(instance("a"))
    client.asks(CLUSTER, "echo")
    (response,) = client.gets()
    cluster = Cluster.FromString(response.resources[0].value)
    context = UpstreamTlsContext.FromString(cluster.transport_socket.typed_config.value).common_tls_context
    assert [each.exact for each in context.validation_context.match_subject_alt_names] == [spiffe_id("echo")]
    assert context.tls_certificate_provider_instance.instance_name == "mesh"
    assert context.validation_context.ca_certificate_provider_instance.instance_name == "mesh"


def test_each_process_gets_the_same_share_whatever_its_zone() -> None:
    client = Client(instance("a", zone="x"), instance("b", port=4002, zone="y"), instance("c", port=4003, zone="y"))
    client.asks(ENDPOINTS, "echo")
    (response,) = client.gets()
    assignment = ClusterLoadAssignment.FromString(response.resources[0].value)
    assert {zone.locality.zone: zone.load_balancing_weight.value for zone in assignment.endpoints} == {"x": 1, "y": 2}


class Requests:
    """What a client sends, as gRPC hands it to a servicer."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[DiscoveryRequest | Exception | None] = asyncio.Queue()

    def send(self, type_url: str, *resource_names: str) -> None:
        self._queue.put_nowait(DiscoveryRequest(type_url=type_url, resource_names=resource_names))

    def end(self, error: Exception | None = None) -> None:
        self._queue.put_nowait(error)

    async def __aiter__(self) -> AsyncIterator[DiscoveryRequest]:
        while (request := await self._queue.get()) is not None:
            if isinstance(request, Exception):
                raise request
            yield request


async def test_a_stream_pushes_changes_until_control_stops() -> None:
    topology = Topology([], spiffe_id=spiffe_id)
    requests = Requests()
    responses = AdsServicer(topology).StreamAggregatedResources(requests.__aiter__(), None)
    requests.send(ENDPOINTS, "echo")
    first = asyncio.ensure_future(anext(responses))
    topology.update([instance("a")])
    assert ports(await asyncio.wait_for(first, LIMIT_S)) == [4001]
    topology.update([instance("a", port=4002)])
    assert ports(await asyncio.wait_for(anext(responses), LIMIT_S)) == [4002]
    topology.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(responses), LIMIT_S)


async def test_nothing_is_answered_before_the_catalogue_was_read() -> None:
    topology = Topology(["echo"], spiffe_id=spiffe_id)
    requests = Requests()
    requests.send(LISTENER, "echo")
    responses = AdsServicer(topology).StreamAggregatedResources(requests.__aiter__(), None)
    first = asyncio.ensure_future(anext(responses))
    await asyncio.sleep(0)
    assert not first.done()
    topology.update([])
    assert names(await asyncio.wait_for(first, LIMIT_S)) == ["echo"]
    requests.end()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(responses), LIMIT_S)


async def test_a_stream_ends_with_what_the_client_did_wrong() -> None:
    topology = Topology([], spiffe_id=spiffe_id)
    topology.update([])
    requests = Requests()
    requests.end(ValidationError("too many names"))
    responses = AdsServicer(topology).StreamAggregatedResources(requests.__aiter__(), None)
    with pytest.raises(ValidationError):
        await asyncio.wait_for(anext(responses), LIMIT_S)


async def test_streams_beyond_the_limit_are_refused_and_one_that_ends_makes_room() -> None:
    topology = Topology([], spiffe_id=spiffe_id)
    topology.update([instance("a")])
    servicer = AdsServicer(topology, max_streams=1)
    requests = Requests()
    requests.send(LISTENER, "echo")
    first = servicer.StreamAggregatedResources(requests.__aiter__(), None)
    await asyncio.wait_for(anext(first), LIMIT_S)
    with pytest.raises(Exhausted):
        await anext(servicer.StreamAggregatedResources(Requests().__aiter__(), None))
    await first.aclose()
    requests = Requests()
    requests.send(LISTENER, "echo")
    again = servicer.StreamAggregatedResources(requests.__aiter__(), None)
    assert names(await asyncio.wait_for(anext(again), LIMIT_S)) == ["echo"]
    await again.aclose()
