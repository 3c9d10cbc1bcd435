"""Data through the typed client: files in, versions out."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from automesh.core.errors import PermissionDenied, ValidationError
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import dataset_pb2
from automesh.sdk import Client
from automesh.testing.orchestrator import FakeConnection
from tests.integration.data.data_house import PERMISSIONS, Served

pytestmark = pytest.mark.postgres
LIMIT_S = 20.0


async def client(served: Served, *permissions: str) -> Client:
    channel = await served.mesh.signed_in(permissions or PERMISSIONS)
    return Client(FakeConnection(channel, authorization=""))


async def test_a_file_is_sent_in_from_disk_and_from_memory(served: Served, tmp_path: Path) -> None:
    content = os.urandom(1_500_000)
    (tmp_path / "rows.csv").write_bytes(content)
    sender = await client(served)
    upload = await sender.upload_file(tmp_path / "rows.csv")
    assert (upload.name, upload.size, upload.sha256) == ("rows.csv", 1_500_000, hashlib.sha256(content).hexdigest())
    assert (await sender.upload_file(content, "other.csv")).sha256 == upload.sha256


async def test_a_refused_file_says_why_however_much_was_still_to_come(served: Served, tmp_path: Path) -> None:
    content = b"x" * 20_000_000
    with pytest.raises(PermissionDenied, match=r"data\.write"):
        await (await client(served, "data.read")).upload_file(content, "rows.csv")
    with pytest.raises(ValidationError):
        await (await client(served)).upload_file(b"1", "rows.csv", sha256="0" * 64)
    with pytest.raises(FileNotFoundError):
        await (await client(served)).upload_file(tmp_path / "missing.csv")


async def test_a_version_is_waited_for_or_left_to_itself(served: Served) -> None:
    maker = await client(served)
    upload = await maker.upload_file(b"a,b\n1,2\n", "rows.csv")
    request = pb.ProcessDataRequest(name="rows", source={"upload": {"upload_id": upload.upload_id}})
    started = await maker.process(request)
    assert started.state == dataset_pb2.VERSION_STATE_PROCESSING

    request.request_id = "again"
    served.tasks.submitted.clear()
    waiting = asyncio.create_task(maker.process(request, wait_s=LIMIT_S))
    await asyncio.wait_for(served.tasks.submitted.wait(), LIMIT_S)
    await served.make(list(served.tasks.tasks)[-1])
    made = await asyncio.wait_for(waiting, LIMIT_S)
    assert (made.state, made.rows) == (dataset_pb2.VERSION_STATE_READY, 2)
    assert (await maker.process(request)).data_id == made.data_id
