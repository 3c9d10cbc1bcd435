"""From instances to a snapshot: what is bad is left out, what was known stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.control.domain.instance import Instance
from services.control.domain.snapshot import Rejected, Snapshot, empty_snapshot
from services.control.domain.topology import Topology


def spiffe_id(service: str) -> str:
    return f"spiffe://automesh.local/ns/dev/sa/{service}"


def instance(name: str, service: str = "echo", *, port: int = 4001, healthy: bool = True) -> Instance:
    return Instance(instance_id=name, service=service, address="127.0.0.1", port=port, healthy=healthy)


def after(snapshot: Snapshot, instances: Iterable[Instance]) -> tuple[Snapshot, tuple[Rejected, ...]]:
    return snapshot.next(instances, spiffe_id=spiffe_id)


def ids(instances: Iterable[Instance]) -> list[str]:
    return [each.instance_id for each in instances]


def test_instances_are_grouped_by_service_and_ordered_by_id() -> None:
    snapshot, _ = after(Snapshot(), [instance("b", port=2), instance("x", "other", port=3), instance("a", port=1)])
    assert ids(snapshot.instances()) == ["a", "b", "x"]
    assert list(snapshot.services) == ["echo", "other"]


def test_only_healthy_instances_are_endpoints() -> None:
    snapshot, _ = after(Snapshot(), [instance("a", port=1), instance("b", port=2, healthy=False)])
    assert ids(snapshot.endpoints("echo")) == ["a"]
    assert ids(snapshot.services["echo"]) == ["a", "b"]


def test_nothing_new_is_the_same_snapshot() -> None:
    first, _ = after(Snapshot(), [instance("a", port=1), instance("b", port=2)])
    second, _ = after(first, [instance("b", port=2), instance("a", port=1)])
    assert second is first


def test_a_change_is_a_new_version() -> None:
    first, _ = after(Snapshot(), [instance("a")])
    second, _ = after(first, [instance("a", healthy=False)])
    assert second.version == first.version + 1


def test_a_service_that_lost_all_its_processes_stays_known() -> None:
    first, _ = after(Snapshot(), [instance("a")])
    second, _ = after(first, [])
    assert second.services == {"echo": ()}


def test_an_expected_service_is_known_before_it_has_a_process() -> None:
    assert empty_snapshot(["gateway", "auth"]).services == {"auth": (), "gateway": ()}


def test_a_bad_instance_is_left_out_with_its_reason_and_the_others_go_on() -> None:
    bad = instance("bad", port=0)
    snapshot, rejected = after(Snapshot(), [bad, instance("good")])
    assert ids(snapshot.instances()) == ["good"]
    assert rejected == ((bad, "port 0 is not between 1 and 65535"),)


def test_an_instance_with_the_identity_of_another_service_is_left_out() -> None:
    liar = replace(instance("liar"), spiffe_id=spiffe_id("auth"))
    snapshot, rejected = after(Snapshot(), [liar, instance("good", port=4002)])
    assert ids(snapshot.instances()) == ["good"]
    assert "but echo is spiffe://automesh.local/ns/dev/sa/echo" in rejected[0][1]


def test_a_port_belongs_to_the_process_that_registered_last() -> None:
    snapshot, _ = after(Snapshot(), [instance("dead", port=4001), instance("born", port=4001)])
    assert ids(snapshot.endpoints("echo")) == ["born"]


def test_an_instance_id_is_counted_once() -> None:
    snapshot, _ = after(Snapshot(), [instance("a", port=1), instance("a", port=2)])
    assert [each.port for each in snapshot.services["echo"]] == [2]


def test_a_topology_is_ready_once_the_catalogue_was_read_even_if_empty() -> None:
    topology = Topology(["echo"], spiffe_id=spiffe_id)
    assert not topology.ready
    topology.update([])
    assert topology.ready


async def test_listeners_hear_of_changes_and_of_nothing_else() -> None:
    topology = Topology([], spiffe_id=spiffe_id)
    with topology.listening() as news:
        topology.update([instance("a")])
        assert news.is_set()
        news.clear()
        topology.update([instance("a")])
        assert not news.is_set()
        topology.close()
        assert news.is_set()
        assert topology.closed
