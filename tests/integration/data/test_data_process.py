"""The data service as a process: wired from settings, migrating, serving, stopping."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import data_service_pb2_grpc as rpc
from automesh.storage.keyring import KeyringError
from automesh.storage.sealing import Keyring
from automesh.testing.ca import ThrowawayCa
from automesh.testing.process import lone_process
from automesh.testing.tokens import TokenMint
from services.data.app import build
from services.data.settings import Settings

pytestmark = pytest.mark.postgres
HEAVY = ("polars", "pandera", "torch", "pyarrow", "numpy", "daft", "ray")


def settings(folder: Path, ca: ThrowawayCa, dsn: str, **changes: Any) -> Settings:
    keyring_file = folder / "keyring.json"
    if not keyring_file.exists():
        Keyring.generate().save(keyring_file)
    given: dict[str, Any] = {"keyring_file": keyring_file, "state_dir": folder, "drain_timeout_s": 5, **changes}
    return Settings(postgres_dsn=dsn, identity_dir=ca.service("data").folder, **given)


async def test_a_process_migrates_serves_and_stops(fresh_dsn: str, tmp_path: Path) -> None:
    ca, mint = ThrowawayCa(tmp_path / "ca"), TokenMint()
    told = settings(tmp_path, ca, fresh_dsn)
    async with lone_process(told, build, ca, mint) as (mesh, _):
        stub = rpc.DataServiceStub(await mesh.signed_in(["data.read", "data.write"]))

        async def requests() -> Any:
            yield pb.UploadFileRequest(name="a.csv", content={"data": b"a\n1\n"})

        upload = (await stub.UploadFile(requests())).upload
        assert upload.size == 4
        assert list((await stub.ListDatasets(pb.ListDatasetsRequest())).datasets) == []
    async with lone_process(told, build, ca, mint) as (mesh, _):  # the same database again: nothing to migrate
        stub = rpc.DataServiceStub(await mesh.signed_in(["data.read"]))
        assert list((await stub.ListDatasets(pb.ListDatasetsRequest())).datasets) == []


async def test_a_missing_key_file_is_named(fresh_dsn: str, tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path / "ca")
    told = settings(tmp_path, ca, fresh_dsn, keyring_file=tmp_path / "absent.json")
    with pytest.raises(KeyringError, match=r"absent\.json"):
        async with lone_process(told, build, ca, TokenMint()):
            pass


def test_the_process_starts_without_the_libraries_of_its_programs() -> None:
    code = f"import sys, services.data.__main__; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
