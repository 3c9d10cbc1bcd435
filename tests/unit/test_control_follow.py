"""Following the catalogue: errors keep the last snapshot, names are resolved, the last state is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from services.control.domain.instance import Instance
from services.control.domain.ports import CatalogueUnavailable
from services.control.domain.topology import Topology
from services.control.loops.follow import follow
from services.control.loops.resolve import Resolver, look_up
from services.control.store.memory import FileMemory

ECHO = Instance(instance_id="echo-1", service="echo", address="127.0.0.1", port=4001, metadata={"zone": "a"})
LIMIT_S = 5.0


class FakeCatalogue:
    """Plays a script: instances to yield, or an error to raise; then waits for ever."""

    name = "fake"

    def __init__(self, *script: tuple[Instance, ...] | Exception) -> None:
        self._script = list(script)
        self.played = asyncio.Event()

    async def watch(self) -> AsyncIterator[tuple[Instance, ...]]:
        while self._script:
            step = self._script.pop(0)
            if isinstance(step, Exception):
                raise step
            yield step
        self.played.set()
        await asyncio.Event().wait()


class FakeMemory:
    def __init__(self) -> None:
        self.saved: list[Sequence[Instance]] = []

    async def save(self, instances: Sequence[Instance]) -> None:
        self.saved.append(tuple(instances))


async def followed(catalogue: FakeCatalogue, resolver: Resolver | None = None) -> tuple[Topology, FakeMemory]:
    topology, memory = Topology([], spiffe_id=lambda service: f"id of {service}"), FakeMemory()
    following = asyncio.create_task(follow(catalogue, topology, memory, resolver or Resolver(), backoff_s=0.01))
    await asyncio.wait_for(catalogue.played.wait(), LIMIT_S)
    following.cancel()
    await asyncio.wait([following])
    return topology, memory


async def test_what_the_catalogue_holds_becomes_the_topology_and_is_remembered() -> None:
    topology, memory = await followed(FakeCatalogue((ECHO,)))
    assert topology.snapshot.instances() == (ECHO,)
    assert memory.saved == [(ECHO,)]


async def test_a_catalogue_that_is_away_takes_nothing_away() -> None:
    topology, _ = await followed(FakeCatalogue((ECHO,), CatalogueUnavailable("gone"), CatalogueUnavailable("still")))
    assert topology.snapshot.instances() == (ECHO,)


async def test_after_an_outage_it_goes_on_with_what_is_new() -> None:
    topology, _ = await followed(FakeCatalogue((ECHO,), CatalogueUnavailable("gone"), ()))
    assert topology.snapshot.instances() == ()


async def test_a_host_name_becomes_an_address() -> None:
    async def lookup(host: str) -> str:
        return {"echo.internal": "10.0.0.7"}[host]

    named = Instance(instance_id="echo-1", service="echo", address="echo.internal", port=4001)
    topology, _ = await followed(FakeCatalogue((named,)), Resolver(lookup))
    assert topology.snapshot.endpoints("echo")[0].address == "10.0.0.7"


def resolver_of(answers: list[str | OSError]) -> tuple[Resolver, Callable[[float], None]]:
    clock = [100.0]

    async def lookup(host: str) -> str:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def forward(seconds: float) -> None:
        clock[0] += seconds

    return Resolver(lookup, monotonic=lambda: clock[0]), forward


NAMED = Instance(instance_id="echo-1", service="echo", address="echo.internal", port=4001)


async def test_a_name_that_never_resolved_gets_no_calls() -> None:
    resolver, _ = resolver_of([OSError("no such name")])
    (found,) = await resolver.resolve([NAMED])
    assert not found.healthy


async def test_a_name_that_no_longer_resolves_keeps_its_address() -> None:
    resolver, forward = resolver_of(["10.0.0.7", OSError("resolver is away")])
    await resolver.resolve([NAMED])
    forward(60)
    (found,) = await resolver.resolve([NAMED])
    assert (found.address, found.healthy) == ("10.0.0.7", True)


async def test_a_name_is_looked_up_again_after_a_while() -> None:
    resolver, forward = resolver_of(["10.0.0.7", "10.0.0.8"])
    await resolver.resolve([NAMED])
    forward(5)
    assert (await resolver.resolve([NAMED]))[0].address == "10.0.0.7"
    forward(60)
    assert (await resolver.resolve([NAMED]))[0].address == "10.0.0.8"


async def test_the_system_resolves_localhost_to_ipv4() -> None:
    assert await look_up("localhost") == "127.0.0.1"


async def test_a_memory_gives_back_what_it_was_given(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path / "control" / "catalogue.json")
    await memory.save([ECHO])
    assert FileMemory(tmp_path / "control" / "catalogue.json").load() == (ECHO,)
    assert (tmp_path / "control" / "catalogue.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 99, "instances": []}', '{"format": 1, "instances": [{}]}']
)
def test_a_memory_that_cannot_be_read_is_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "catalogue.json").write_text(content)
    assert FileMemory(tmp_path / "catalogue.json").load() == ()


def test_there_is_no_memory_before_the_first_run(tmp_path: Path) -> None:
    assert FileMemory(tmp_path / "catalogue.json").load() == ()


async def test_a_disk_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await FileMemory(tmp_path / "file" / "catalogue.json").save([ECHO])
