"""Whatever is sent to whichever rpc is answered, or refused with what is wrong in which field."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from google.protobuf.message import Message
from structlog.testing import capture_logs

from automesh.core.errors import Kind, ValidationError
from automesh.testing.postgres import PostgresForTests
from services.doc.fakes.tasks import FakeTasks
from tests.integration.doc.doc_house import doc_service
from tests.integration.doc.doc_house_search import caught_up
from tests.integration.doc.doc_rpcs import RPCS, Rpc
from tests.integration.doc.doc_spoiled import forged, spoiled
from tests.integration.doc.doc_world import REQUESTS, AnySender, World, make_world

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

FORESEEN = {
    *(Kind.INVALID, Kind.NOT_FOUND, Kind.CONFLICT, Kind.PRECONDITION, Kind.ABORTED, Kind.EXHAUSTED, Kind.FORBIDDEN)
}
MAX_MESSAGE = 4_000
"""Characters of what somebody is told; more than a request that is quoted in short."""
LISTS = [name for name, rpc in RPCS.items() if "page_token" in rpc.request.DESCRIPTOR.fields_by_name]


@pytest.fixture
async def world(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[World]:
    tasks = FakeTasks()
    options = {"search_engine": "postgres"}
    with capture_logs():  # a request of a megabyte would be printed with the traceback of what it breaks
        async with doc_service(postgres, tmp_path, options=options, tasks=tasks, sender=AnySender()) as served:
            yield await make_world(served, tasks, "handbook")


async def fault(world: World, rpc: Rpc, messages: Sequence[Message]) -> str:
    """What is wrong with how a request is answered; empty: nothing."""
    channel = await world.agent() if rpc.name == "StoreDocumentation" else world.root
    error = await rpc.told(channel, *messages)
    if error is None:
        return ""
    said = f"{error.kind} {error.reason}: {error.message[:200]}"
    if error.kind not in FORESEEN or not error.reason or len(error.message) > MAX_MESSAGE:
        return said
    if error.kind is not Kind.INVALID:
        return ""
    named = isinstance(error, ValidationError) and all(each.field for each in error.violations) and error.violations
    return "" if named else f"{said} (in no field)"


def test_there_is_a_request_for_each_rpc() -> None:
    assert set(REQUESTS) == set(RPCS)


async def test_each_request_of_the_world_goes_well(world: World) -> None:
    faults = {}
    for name, rpc in RPCS.items():
        channel = await world.agent() if name == "StoreDocumentation" else world.root
        error = await rpc.told(channel, *await world.request(name))
        if error is not None:
            faults[name] = f"{error.reason}: {error.message}"
    assert not faults


async def test_an_empty_request_is_answered_or_refused_with_a_reason(world: World) -> None:
    faults = {name: await fault(world, rpc, [rpc.request()]) for name, rpc in RPCS.items()}
    assert not {name: each for name, each in faults.items() if each}


@pytest.mark.parametrize("half", [0, 1])
async def test_a_request_that_is_spoiled_in_one_field_is_answered_or_refused_by_that_field(
    world: World, half: int
) -> None:
    faults = {}
    for name in sorted(RPCS)[half::2]:
        for what, spoil in spoiled((await world.request(name))[0]):
            first, *rest = await world.request(name)
            spoil(first)
            if found := await fault(world, RPCS[name], [first, *rest]):
                faults[f"{name}, {what}"] = found
    assert not faults


async def test_a_forged_page_token_is_refused_as_one_or_leads_to_some_page(world: World) -> None:
    await caught_up(world.served)
    faults = {}
    for name in LISTS:
        [request] = await world.request(name)
        request.page_size = 1  # type: ignore[attr-defined]  # every list has it
        [answer] = await RPCS[name].call(world.root, request)
        assert answer.next_page_token, f"{name}: there is only one"
        for what, token in forged(answer.next_page_token):
            request.page_token = token  # type: ignore[attr-defined]  # the same
            if found := await fault(world, RPCS[name], [request]):
                faults[f"{name}, {what}"] = found
    assert not faults
