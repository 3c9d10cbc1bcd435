"""The longer example of docs/howto/write-an-agent.md, as it stands there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk import Agent
from automesh.testing.orchestrator import LIMIT_S, FakeOrchestrator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "write-an-agent.md"


@pytest.fixture
def agent() -> Agent:
    """What the page's Python block defines."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(blocks[0], str(PAGE), "exec"), names)  # noqa: S102 # our own page
    found: Agent = names["agent"]
    return found


@pytest.fixture
async def fake(agent: Agent) -> AsyncIterator[FakeOrchestrator]:
    stop = asyncio.Event()
    async with FakeOrchestrator() as fake:
        running = asyncio.create_task(agent.run(fake.connection, stop=stop))
        yield fake
        stop.set()
        async with asyncio.timeout(LIMIT_S):
            await running


async def test_it_counts_with_progress_and_checkpoints(fake: FakeOrchestrator) -> None:
    token = fake.lease("count", {"to": 10})
    done = await fake.done(token)
    assert MessageToDict(done.result) == {"counted_to": 10.0, "attempt": 1.0}
    last = fake.of("progress", token)[-1]
    assert (last.fraction, last.message, last.checkpoint) == (1.0, "at 10", b"10")


async def test_it_goes_on_from_the_checkpoint(fake: FakeOrchestrator) -> None:
    token = fake.lease("count", {"to": 4}, checkpoint=b"3", attempt=2)
    done = await fake.done(token)
    assert MessageToDict(done.result) == {"counted_to": 4.0, "attempt": 2.0}
    assert {report.message for report in fake.of("progress", token)} == {"at 4"}


async def test_it_stumbles_once_and_refuses_a_goal_that_is_none(fake: FakeOrchestrator) -> None:
    stumbled = await fake.done(fake.lease("count", {"to": 5, "stumble_at": 2}))
    assert (stumbled.failure.reason, stumbled.failure.retryable) == ("STUMBLED", True)
    refused = await fake.done(fake.lease("count", {"to": "many"}))
    assert (refused.failure.reason, refused.failure.retryable) == ("BAD_GOAL", False)


async def test_cancel_tells_it_why(fake: FakeOrchestrator, capsys: pytest.CaptureFixture[str]) -> None:
    token = fake.lease("count", {"to": 1_000_000})
    async with asyncio.timeout(LIMIT_S):
        while not fake.of("progress", token):  # noqa: ASYNC110 # the fake tells of ends only
            await asyncio.sleep(0.01)
    fake.say(cancel=pb.Cancel(lease_token=token, reason="enough"))
    async with asyncio.timeout(LIMIT_S):
        while "stopped: enough" not in capsys.readouterr().out:  # noqa: ASYNC110 # prints are not events
            await asyncio.sleep(0.01)
