"""The model service as a process: wired from settings, serving, and stopping while somebody watches."""

from pathlib import Path

import grpc
import pytest

from automesh.model.v1 import run_service_pb2 as pb
from automesh.model.v1 import run_service_pb2_grpc as rpc
from automesh.storage.sealing import Keyring
from automesh.testing.ca import ThrowawayCa
from automesh.testing.process import lone_process
from automesh.testing.tokens import TokenMint
from services.model.app import build
from services.model.settings import Settings

pytestmark = pytest.mark.postgres


async def test_a_process_migrates_serves_and_stops(fresh_dsn: str, redis_url: str, tmp_path: Path) -> None:
    ca, mint = ThrowawayCa(tmp_path / "ca"), TokenMint()
    Keyring.generate().save(tmp_path / "keyring.json")
    told = Settings(
        postgres_dsn=fresh_dsn,
        redis_url=redis_url,
        keyring_file=tmp_path / "keyring.json",
        state_dir=tmp_path,
        identity_dir=ca.service("model").folder,
        drain_timeout_s=5,
    )
    for _ in range(2):  # the second finds its tables migrated
        async with lone_process(told, build, ca, mint) as (client, _):
            stub = rpc.RunServiceStub(await client.signed_in(["model.read"]))
            assert list((await stub.ListRuns(pb.ListRunsRequest())).runs) == []
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetRun(pb.GetRunRequest(run_id="run_x"))
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND
