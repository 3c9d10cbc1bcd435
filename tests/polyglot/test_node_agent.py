"""docs/examples/agent.mjs: an agent in JavaScript works for the real orchestrator, over mutual TLS."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry

from automesh.orchestrator.v1 import task_pb2
from automesh.sdk import Client
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.databases import OpenDatabase
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.orchestrator import FakeConnection
from automesh.testing.tokens import TokenMint
from services.orchestrator.app import MIGRATIONS, SCHEMA
from services.orchestrator.domain.lease import Terms
from services.orchestrator.engine import Engine, Options

pytestmark = [pytest.mark.node, pytest.mark.postgres]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "agent.mjs"
API_KEY = "am_a_key"
LIMIT_S = 60.0
TERMS = Terms(lease_ttl=timedelta(seconds=6), heartbeat=timedelta(seconds=1), offer_for=timedelta(seconds=2))


class Platform:
    """An orchestrator with its real engine, a client of it, and a gateway that knows one API key."""

    def __init__(self, engine: Engine, mesh: InProcessMesh, client: Client, url: str) -> None:
        self.engine, self.mesh, self.client, self.url = engine, mesh, client, url

    async def submit(self, **fields: Any) -> task_pb2.Task:
        """A task for the agent."""
        return await self.client.create_task("capitals", fields)

    async def finished(self, task: task_pb2.Task) -> task_pb2.Task:
        """The task once it has ended."""
        return await self.client.wait(task.task_id, timeout_s=LIMIT_S)

    async def attached(self) -> str:
        """The id of the agent, once its stream is open."""
        async with asyncio.timeout(LIMIT_S):
            while not (sessions := self.engine.sessions.all()):  # noqa: ASYNC110 # nothing tells of it
                await asyncio.sleep(0.02)
        return str(sessions[0].agent_id)


@asynccontextmanager
async def gateway(mint: TokenMint) -> AsyncIterator[str]:
    """Answers `POST /api/v1/auth/exchange` as the gateway does; yields its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        known = head.startswith(b"POST /api/v1/auth/exchange ") and orjson.loads(await reader.readexactly(length)) == {
            "apiKey": API_KEY
        }
        body = orjson.dumps({"tokens": {"accessToken": mint.mint(["work.lease", "task.read"])}} if known else {})
        status = b"200 OK" if known else b"401 Unauthorized"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def platform(open_database: OpenDatabase, tmp_path: Path) -> AsyncIterator[Platform]:
    keyring, mint = Keyring.generate(), TokenMint()
    blobs = EncryptedBlobStore.open(str(tmp_path / "blobs"), Sealer(keyring))
    database = await open_database(SCHEMA, MIGRATIONS)
    options = Options(replica="one", terms=TERMS, registry=CollectorRegistry())
    engine = Engine(database, keyring, blobs, LocalFanout(), options)
    async with (
        gateway(mint) as url,
        engine.open() as bounds,
        in_process_mesh("orchestrator", bounds, mint=mint) as mesh,
    ):
        channel = await mesh.signed_in(["task.create", "task.read", "task.cancel"])
        yield Platform(engine, mesh, Client(FakeConnection(channel)), url)


@pytest.fixture
async def agent(
    platform: Platform, javascript: Path, node_binary: Path, tmp_path: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The example as a process of its own, set up as docs/howto/write-an-agent.md says."""
    program = shutil.copy(EXAMPLE, javascript)
    with (tmp_path / "agent.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            node_binary,
            program,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "AUTOMESH_URL": platform.url,
                "AUTOMESH_API_KEY": API_KEY,
                "AUTOMESH_IDENTITY_DIR": str(platform.mesh.ca.client("capitals").folder),
                "AUTOMESH_ORCHESTRATOR": f"127.0.0.1:{platform.mesh.port}",
                "AUTOMESH_PROTO": str(ROOT / "proto"),
            },
        )
    try:
        await platform.attached()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        print((tmp_path / "agent.log").read_text())  # noqa: T201 # pytest shows it when the test fails


async def test_a_task_of_its_type_completes_with_progress_and_log(
    platform: Platform, agent: asyncio.subprocess.Process
) -> None:
    task = await platform.submit(text="hello big mesh", more=[1, {"a": None}, True])
    lines, progress = [], task_pb2.TaskProgress()
    async with asyncio.timeout(LIMIT_S):
        async for message in platform.client.watch_task(task.task_id):
            lines += [line.text for line in message.log_lines]
            progress = message.task.progress
    done = await platform.finished(task)
    assert done.status == task_pb2.TASK_STATUS_COMPLETED
    assert MessageToDict(done.result) == {"text": "HELLO BIG MESH", "words": 3.0}
    assert lines == ["HELLO", "BIG", "MESH"]
    assert progress.message == "3 of 3 words"


async def test_an_input_that_cannot_work_fails_with_the_agents_reason_and_is_not_tried_again(
    platform: Platform, agent: asyncio.subprocess.Process
) -> None:
    done = await platform.finished(await platform.submit(text=7))
    assert (done.status, done.attempt) == (task_pb2.TASK_STATUS_FAILED, 1)
    assert (done.failure.reason, done.failure.message) == ("TEXT_MISSING", 'give {"text": ".."}')


async def test_cancel_stops_it_and_more_tasks_than_slots_all_come_to_their_turn(
    platform: Platform, agent: asyncio.subprocess.Process
) -> None:
    endless = [await platform.submit(text="la " * 5000) for _ in range(4)]  # as many as it has slots
    async with asyncio.timeout(LIMIT_S):
        for task in endless:
            async for message in platform.client.watch_task(task.task_id):
                if message.log_lines:
                    break
    for task in endless:
        await platform.client.cancel_task(task.task_id)
    done = await asyncio.gather(*[platform.finished(await platform.submit(text=f"n {n}")) for n in range(9)])
    assert [MessageToDict(task.result)["text"] for task in done] == [f"N {n}" for n in range(9)]


async def test_a_lost_stream_costs_no_attempt(platform: Platform, agent: asyncio.subprocess.Process) -> None:
    agent_id = await platform.attached()
    task = await platform.submit(text="word " * 40)  # 4 seconds
    async with asyncio.timeout(LIMIT_S):
        async for message in platform.client.watch_task(task.task_id):
            if message.log_lines:
                break
        session = platform.engine.sessions.of(agent_id)
        assert session is not None
        session.close()
        while platform.engine.sessions.of(agent_id) in {None, session}:  # noqa: ASYNC110 # nothing tells of it
            await asyncio.sleep(0.02)
    done = await platform.finished(task)
    assert (done.status, done.attempt) == (task_pb2.TASK_STATUS_COMPLETED, 1)


async def test_sigterm_lets_it_finish_what_it_holds(platform: Platform, agent: asyncio.subprocess.Process) -> None:
    task = await platform.submit(text="one two three four five six seven eight nine ten")
    async with asyncio.timeout(LIMIT_S):
        async for message in platform.client.watch_task(task.task_id):
            if message.log_lines:
                break
        agent.send_signal(signal.SIGTERM)
        assert await agent.wait() == 0
    assert (await platform.finished(task)).status == task_pb2.TASK_STATUS_COMPLETED
