"""The agent as a service: its own rpcs behind the real guard, while it works for a fake orchestrator."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from automesh.agent.v1 import agent_service_pb2 as pb
from automesh.agent.v1 import agent_service_pb2_grpc as rpc
from automesh.mesh.errors import from_rpc_error
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.orchestrator import LIMIT_S, FakeOrchestrator
from services.agent.__main__ import _given, _parser
from services.agent.app import build
from services.agent.handlers import data_processing, model_training
from services.agent.settings import Settings


class FakeMesh:
    """What `build` uses of a Mesh; every channel leads to the fake orchestrator."""

    def __init__(self, fake: FakeOrchestrator) -> None:
        self.stopping = asyncio.Event()
        self.work: list[asyncio.Task[Any]] = []
        self._fake = fake

    def channel(self, service: str) -> grpc.aio.Channel:
        return self._fake.connection.channel(service)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        self.work.append(asyncio.create_task(work, name=name))
        return self.work[-1]


class Served:
    """The agent at work, and a way to call it."""

    def __init__(self, fake: FakeOrchestrator, mesh: FakeMesh, served: InProcessMesh) -> None:
        self.fake, self.mesh, self._served = fake, mesh, served

    async def stub(self, *permissions: str) -> "rpc.AgentServiceAsyncStub":
        return rpc.AgentServiceStub(await self._served.signed_in(permissions))


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(data_processing, "LIBRARIES", ())
    monkeypatch.setattr(model_training, "LIBRARIES", ("no_such_library",))
    settings = Settings(state_dir=tmp_path, slots=2, agent_name="box", unsafe_sandbox=True)
    async with FakeOrchestrator() as fake:
        mesh = FakeMesh(fake)
        async with asyncio.timeout(6 * LIMIT_S), build(settings, mesh) as bounds:  # type: ignore[arg-type]
            async with in_process_mesh("agent", bounds) as inside:
                await fake.hears("credit")
                yield Served(fake, mesh, inside)
            mesh.stopping.set()
    assert list((tmp_path / "work").iterdir()) == []


async def test_it_tells_what_it_can_do(served: Served) -> None:
    stub = await served.stub("agent.read")
    answer = await stub.ListCapabilities(pb.ListCapabilitiesRequest())
    assert [(each.type, each.available) for each in answer.task_types] == [
        ("noop", True),
        ("test_generation", True),
        ("documentation", True),
        ("data_processing", True),
        ("model_training", False),
    ]
    assert "automesh[model]" in answer.task_types[-1].unavailable_reason
    assert "sleep_s" in answer.task_types[0].description
    assert (answer.agent_id, answer.slots, answer.running, answer.draining) == ("agent_1", 2, 0, False)


async def test_it_registers_with_the_orchestrator_what_its_libraries_can_do(served: Served) -> None:
    request = served.fake.registered[0]
    assert [each.type for each in request.capabilities] == [
        "noop",
        "test_generation",
        "documentation",
        "data_processing",
    ]
    assert all(len(each.description) <= 1024 for each in request.capabilities)
    assert (request.name, request.slots) == ("box", 2)


async def test_it_works_on_a_task(served: Served) -> None:
    done = await served.fake.done(served.fake.lease("noop", {"result": "yes"}))
    assert MessageToDict(done.result)["result"] == "yes"


async def test_drain_finishes_what_is_held_and_takes_no_more(served: Served) -> None:
    stub = await served.stub("agent.read", "agent.drain")
    token = served.fake.lease("noop", {"sleep_s": 0.3})
    await served.fake.hears("accepted", token)
    assert (await stub.Drain(pb.DrainRequest(agent_id="agent_1"))).running == 1
    await served.fake.hears("drain")
    assert (await stub.ListCapabilities(pb.ListCapabilitiesRequest())).draining
    assert (await served.fake.done(token)).HasField("result")
    async with asyncio.timeout(LIMIT_S):
        await served.mesh.work[0]
    assert (await stub.Drain(pb.DrainRequest(agent_id="agent_1"))).running == 0  # safe to repeat


async def test_drain_of_another_agent_is_not_found(served: Served) -> None:
    stub = await served.stub("agent.drain")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Drain(pb.DrainRequest(agent_id="agent_2"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "this is agent 'agent_1', not 'agent_2'" in from_rpc_error(caught.value).message
    assert served.fake.of("drain") == []


async def test_drain_needs_its_permission(served: Served) -> None:
    stub = await served.stub("agent.read")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Drain(pb.DrainRequest(agent_id="agent_1"))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_the_command_line_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMESH_SLOTS", "3")
    assert Settings(**_given(_parser().parse_args([]))).slots == 3
    asked = ["--slots", "5", "--unsafe-sandbox", "--source-root", "/a", "--source-root", "/b"]
    settings = Settings(**_given(_parser().parse_args(asked)))
    assert (settings.slots, settings.unsafe_sandbox) == (5, True)
    assert settings.source_roots == (Path("/a"), Path("/b"))


@pytest.mark.parametrize("slots", ["0", "1001", "two", "-1"])
def test_slots_that_make_no_sense_are_refused(slots: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args([f"--slots={slots}"])
    assert "is not a number from 1 to 1000" in capsys.readouterr().err
