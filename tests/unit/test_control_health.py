"""How the state of a service and of the whole is judged, and how often anybody is asked."""

from __future__ import annotations

import asyncio

import pytest

from services.control.domain.health import Health, judge_mesh, judge_service
from services.control.domain.instance import Instance
from services.control.domain.observatory import Observatory
from services.control.domain.topology import Topology


def instances(*healthy: bool, service: str = "echo") -> tuple[Instance, ...]:
    return tuple(
        Instance(
            instance_id=f"{service}-{n}",
            service=service,
            address="127.0.0.1",
            port=1000 + 10 * ord(service[0]) + n,
            healthy=well,
        )
        for n, well in enumerate(healthy)
    )


@pytest.mark.parametrize(
    ("healthy", "answers", "expected"),
    [
        ((True, True), True, Health.SERVING),
        ((True, False), True, Health.DEGRADED),
        ((False, False), True, Health.NOT_SERVING),
        ((True, True), False, Health.NOT_SERVING),
        ((), False, Health.NOT_SERVING),
    ],
)
def test_a_service_is_judged_by_its_processes_and_its_answer(
    healthy: tuple[bool, ...], answers: bool, expected: Health
) -> None:
    judged = judge_service("echo", instances(*healthy), answers=answers)
    assert (judged.health, judged.healthy_endpoints, judged.endpoints) == (expected, sum(healthy), len(healthy))


def judged(**states: bool) -> Health:
    services = {name: judge_service(name, instances(True), answers=well) for name, well in states.items()}
    return judge_mesh(services, expected=["auth", "gateway"], essential=["auth"]).health


def test_the_whole_serves_when_every_expected_service_does() -> None:
    assert judged(auth=True, gateway=True) is Health.SERVING
    assert judged(auth=True, gateway=True, extra=False) is Health.SERVING


def test_the_whole_is_degraded_when_something_expected_is_missing() -> None:
    assert judged(auth=True, gateway=False) is Health.DEGRADED
    assert judged(auth=True) is Health.DEGRADED


def test_the_whole_does_not_serve_without_an_essential_service() -> None:
    assert judged(auth=False, gateway=True) is Health.NOT_SERVING
    assert judged(gateway=True) is Health.NOT_SERVING


class FakeProbe:
    """Answers as told, and counts."""

    def __init__(self, *, well: bool = True) -> None:
        self.well, self.asked = well, list[str]()

    async def serves(self, service: str) -> bool:
        self.asked.append(service)
        await asyncio.sleep(0)
        return self.well


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.topology = Topology(["echo", "absent"], spiffe_id=lambda service: f"id of {service}")
        self.topology.update([*instances(True), *instances(False, service="sick")])
        self.probe = FakeProbe()
        self.observatory = Observatory(
            self.topology, self.probe, expected=["echo", "absent"], essential=[], monotonic=lambda: self.now
        )


async def test_only_services_with_a_healthy_process_are_asked() -> None:
    world = World()
    health = await world.observatory.health()
    assert world.probe.asked == ["echo"]
    assert {each.service: each.health for each in health.services} == {
        "absent": Health.NOT_SERVING,
        "echo": Health.SERVING,
        "sick": Health.NOT_SERVING,
    }


async def test_many_who_ask_together_cost_one_look() -> None:
    world = World()
    await asyncio.gather(*(world.observatory.health() for _ in range(20)))
    assert world.probe.asked == ["echo"]


async def test_a_look_is_believed_for_a_second() -> None:
    world = World()
    await world.observatory.health()
    world.probe.well = False
    world.now += 0.9
    assert (await world.observatory.health()).services[1].health is Health.SERVING
    world.now += 0.2
    assert (await world.observatory.health()).services[1].health is Health.NOT_SERVING


async def test_a_service_that_is_gone_and_not_expected_is_not_shown() -> None:
    world = World()
    world.topology.update(instances(True))
    assert [each.service for each in (await world.observatory.health()).services] == ["absent", "echo"]
