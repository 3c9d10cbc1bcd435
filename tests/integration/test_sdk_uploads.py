"""Files of a running task: from memory and from disk, whole, and tried again where that helps."""

from pathlib import Path

import pytest

from automesh.sdk import Agent, LeasedTask, TaskContext
from automesh.testing.agents import at_work
from automesh.testing.orchestrator import FakeOrchestrator

BIG = bytes(range(256)) * 4096  # 1 MiB: more than one chunk


def uploading(content: bytes | Path) -> Agent:
    agent = Agent(name="test-agent")

    @agent.task("work")
    async def work(task: LeasedTask, context: TaskContext) -> dict[str, object]:
        stored = await context.upload("out/big.bin", content, "application/x-test")
        return {"name": stored.name, "size": stored.size, "type": stored.content_type, "sha256": stored.sha256}

    return agent


@pytest.mark.parametrize("from_disk", [False, True])
async def test_a_file_arrives_whole(tmp_path: Path, from_disk: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(BIG)
    async with FakeOrchestrator() as fake, at_work(uploading(file if from_disk else BIG), fake):
        done = await fake.done(fake.lease("work"))

    assert fake.artifacts == {"out/big.bin": BIG}
    assert (done.result["name"], done.result["size"]) == ("out/big.bin", len(BIG))
    assert done.result["type"] == "application/x-test"
    assert len(str(done.result["sha256"])) == 64


async def test_an_orchestrator_that_is_away_for_a_moment_is_tried_again() -> None:
    async with FakeOrchestrator() as fake, at_work(uploading(b"x"), fake):
        fake.failing_uploads = 2
        done = await fake.done(fake.lease("work"))

    assert done.HasField("result")
    assert fake.artifacts == {"out/big.bin": b"x"}


async def test_one_that_stays_away_makes_the_attempt_fail_and_be_retried() -> None:
    async with FakeOrchestrator() as fake, at_work(uploading(b"x"), fake):
        fake.failing_uploads = 99
        done = await fake.done(fake.lease("work"))

    assert (done.failure.reason, done.failure.retryable) == ("UNAVAILABLE", True)


async def test_a_file_that_is_not_there_fails_without_showing_its_path_to_users(tmp_path: Path) -> None:
    async with FakeOrchestrator() as fake, at_work(uploading(tmp_path / "secret-name"), fake):
        done = await fake.done(fake.lease("work"))

    assert done.failure.reason == "HANDLER_ERROR"
    assert "secret-name" not in done.failure.message
