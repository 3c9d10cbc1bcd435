"""The orchestrator as a process: wired from settings, serving, and stopping with an agent on it."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from automesh.storage.keyring import KeyringError
from automesh.storage.sealing import Keyring
from automesh.testing.ca import ThrowawayCa
from automesh.testing.process import lone_process
from automesh.testing.tokens import TokenMint
from automesh.testing.wire import OrchestratorOnWire, task_request
from services.orchestrator.app import build
from services.orchestrator.settings import Settings

pytestmark = pytest.mark.postgres


def settings(folder: Path, ca: ThrowawayCa, dsn: str, redis_url: str, **changes: Any) -> Settings:
    keyring_file = folder / "keyring.json"
    if not keyring_file.exists():
        Keyring.generate().save(keyring_file)
    given: dict[str, Any] = {"keyring_file": keyring_file, "state_dir": folder, "drain_timeout_s": 5, **changes}
    return Settings(postgres_dsn=dsn, redis_url=redis_url, identity_dir=ca.service("orchestrator").folder, **given)


async def test_a_process_migrates_serves_and_says_goodbye(fresh_dsn: str, redis_url: str, tmp_path: Path) -> None:
    ca, mint = ThrowawayCa(tmp_path / "ca"), TokenMint()
    told = settings(tmp_path, ca, fresh_dsn, redis_url)
    async with lone_process(told, build, ca, mint) as (client, mesh):
        wire = OrchestratorOnWire(client)
        agent = await wire.agent()
        await agent.attach()
        task = (await (await wire.tasks()).CreateTask(task_request())).task
        lease = await agent.take()
        assert lease.task_id == task.task_id
        mesh.stopping.set()
        await agent.expect("goaway")
        assert await agent.ended() is grpc.StatusCode.OK
    # The same database and keys: the lease is still good.
    async with lone_process(told, build, ca, mint) as (client, _):
        again = await OrchestratorOnWire(client).agent(agent_id=agent.agent_id)
        assert list((await again.attach(held=[lease.lease_token])).keep) == [lease.lease_token]
        assert not (await again.complete(lease)).stale
        await again.leave()


async def test_a_missing_key_file_is_named(fresh_dsn: str, tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path / "ca")
    told = settings(tmp_path, ca, fresh_dsn, "", keyring_file=tmp_path / "absent.json")
    with pytest.raises(KeyringError, match=r"absent\.json"):
        async with lone_process(told, build, ca, TokenMint()):
            pass


async def test_beats_must_be_able_to_keep_a_lease(fresh_dsn: str, tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path / "ca")
    with pytest.raises(ValueError, match="AUTOMESH_HEARTBEAT_S"):
        settings(tmp_path, ca, fresh_dsn, "", lease_ttl_s=4, heartbeat_s=3)
