"""The data service's client of the orchestrator, on a real orchestrator; its fake is held to the same."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from automesh.core.errors import AutomationError, Kind
from automesh.mesh.channel import MeshChannel
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.testing.wire import OrchestratorOnWire
from services.data.clients.tasks import OrchestratorTasks
from services.data.domain.ports import Tasks
from services.data.domain.version import Origin, Recipe, State, Version
from services.data.fakes.outside import FakeTasks

pytestmark = pytest.mark.postgres
VERSION = Version(
    tenant_id="default",
    data_id="data_x",
    version=3,
    state=State.PROCESSING,
    recipe=Recipe(source={}, pipeline={}, origin=Origin("generator", "sine")),
    created_by="user_ann",
    created_at=datetime.now(UTC),
)


@dataclass
class House:
    """The client, and an agent that leases what it submits and ends it."""

    tasks: Tasks
    take: Callable[[str], Awaitable[bytes]]
    fail: Callable[[str, bytes], Awaitable[None]]


@pytest.fixture(params=["fake", "orchestrator"])
async def house(request: pytest.FixtureRequest, served: OrchestratorOnWire) -> AsyncIterator[House]:
    if request.param == "fake":
        yield fake_house()
        return
    leases: dict[bytes, pb.Lease] = {}
    channel = MeshChannel(await served.mesh.channel("data"))
    async with served.attached("data_processing") as agent:

        async def take(_task_id: str) -> bytes:
            lease = await agent.take()
            leases[lease.lease_token] = lease
            return lease.lease_token

        async def fail(_task_id: str, token: bytes) -> None:
            await agent.fail(leases[token], "PROGRAM_DIED", retryable=False)

        yield House(OrchestratorTasks(channel, timeout=timedelta(hours=1)), take, fail)


def fake_house() -> House:
    tasks = FakeTasks()

    async def take(task_id: str) -> bytes:
        return tasks.take(task_id)

    async def fail(task_id: str, _token: bytes) -> None:
        tasks.end(task_id, "FAILED", "PROGRAM_DIED", "it broke")

    return House(tasks, take, fail)


async def test_a_version_has_one_task_and_its_lease_says_whose(house: House) -> None:
    task_id = await house.tasks.submit(VERSION)
    assert await house.tasks.submit(VERSION) == task_id
    assert await house.tasks.submit(replace(VERSION, version=4)) != task_id
    lease = await house.tasks.lease(await house.take(task_id))
    assert (lease.tenant_id, lease.task_id, lease.task_type) == ("default", task_id, "data_processing")
    assert (lease.attempt, lease.created_by, dict(lease.input)) == (1, "user_ann", {"data_id": "data_x", "version": 3})


async def test_the_state_of_a_task_is_seen_by_its_tenant(house: House) -> None:
    task_id = await house.tasks.submit(VERSION)
    state = await house.tasks.state("default", task_id)
    assert state is not None
    assert state.status == "SCHEDULED"
    assert await house.tasks.state("globex", task_id) is None
    assert await house.tasks.state("default", "task_absent") is None
    await house.fail(task_id, await house.take(task_id))
    failed = await house.tasks.state("default", task_id)
    assert failed is not None
    assert (failed.status, failed.reason) == ("FAILED", "PROGRAM_DIED")
    assert failed.message


async def test_a_task_is_cancelled_and_cancelling_again_is_fine(house: House) -> None:
    task_id = await house.tasks.submit(VERSION)
    token = await house.take(task_id)
    for _ in range(2):
        await house.tasks.cancel("default", task_id, "the dataset was deleted")
    state = await house.tasks.state("default", task_id)
    assert state is not None
    assert state.status == "CANCELLED"
    with pytest.raises(AutomationError) as error:
        await house.tasks.lease(token)
    assert (error.value.kind, error.value.reason) == (Kind.ABORTED, "LEASE_LOST")
