"""An unmodified tritonclient works over mutual TLS, and never notices that versions are swapped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from automesh.core.clock import utc_now
from automesh.mesh.server import Bound
from automesh.model.v1 import inference_service_pb2, inference_service_pb2_grpc
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from services.model.domain.registry.errors import model_not_found
from services.model.domain.serving.versions import ServedVersion, TensorSpec
from services.model.serving import grpc_service
from services.model.serving.http_service import HttpInferenceServicer
from services.model.serving.loading import FileLoader
from services.model.serving.model_pool import ModelPool, PoolLimits

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".tools" / "tritonclient" / "bin" / "python"
PROGRAM = Path(__file__).parent / "programs" / "triton_calls.py"
PERMISSIONS = ["model.read", "model.predict", "model.promote"]
LIMIT_S = 120


class Shelf:
    """A source of one model whose version n multiplies by n."""

    def __init__(self) -> None:
        self.current = 1

    async def resolve(self, tenant_id: str, model: str, version: str) -> ServedVersion:
        if model != "wave" or tenant_id != "default":
            raise model_not_found(model)
        shape = (-1, 2, 3)
        return ServedVersion(
            tenant_id=tenant_id,
            model_id="model_1",
            name="wave",
            version=int(version or self.current),
            input=TensorSpec(name="input", datatype="FP32", shape=shape),
            output=TensorSpec(name="output", datatype="FP32", shape=shape),
        )

    async def fetch(self, version: ServedVersion, name: str) -> bytes:
        assert name == "model.onnx"
        return multiplying(version.version)

    async def listed(self, tenant_id: str, *, most: int) -> Sequence[ServedVersion]:
        return [await self.resolve(tenant_id, "wave", "")]

    async def versions(self, tenant_id: str, model_id: str, *, most: int) -> Sequence[int]:
        return [2, 1]


def multiplying(factor: int) -> bytes:
    """An ONNX model that multiplies its input."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["input", "factor"], ["output"])],
        "multiplying",
        [value("input", TensorProto.FLOAT, ["n", 2, 3])],
        [value("output", TensorProto.FLOAT, ["n", 2, 3])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [], [float(factor)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


@asynccontextmanager
async def serving(shelf: Shelf) -> AsyncIterator[InProcessMesh]:
    with ThreadPoolExecutor(2) as executor:
        limits = PoolLimits(refresh_s=0.05)
        pool = ModelPool(shelf, FileLoader(shelf, executor), executor, limits, now=utc_now)
        http = Bound(
            inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"],
            inference_service_pb2_grpc.add_InferenceServiceServicer_to_server,
            HttpInferenceServicer(pool, shelf, "0"),
        )
        servicer = grpc_service.GrpcInferenceServicer(pool, shelf, "0")
        async with in_process_mesh("model", [grpc_service.bound(servicer), http]) as mesh:
            yield mesh
        await pool.close()


async def start(mesh: InProcessMesh, *what: str) -> asyncio.subprocess.Process:
    if not PYTHON.exists():
        pytest.skip("no tritonclient: make .tools/tritonclient/ready")
    identity = mesh.ca.client("tritonclient")
    token = mesh.mint.mint(PERMISSIONS, subject="user_1", tenant_id="default", name="test")
    server = f"model.{mesh.ca.trust_domain}"
    return await asyncio.create_subprocess_exec(
        PYTHON, PROGRAM, f"127.0.0.1:{mesh.port}", str(identity.folder), server, token, *what,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield json.loads(line)


async def test_every_call_of_tritonclient_works() -> None:
    async with asyncio.timeout(LIMIT_S), serving(Shelf()) as mesh:
        process = await start(mesh, "all")
        heard = [line async for line in lines(process)]
        assert await process.wait() == 0
    said: dict[str, Any] = {}
    for line in heard:
        said |= line
    assert said["live"]
    assert said["ready"]
    assert said["model"]
    assert not said["none"]
    assert said["server"]["name"] == "automesh"
    assert said["metadata"]["inputs"] == [{"name": "input", "datatype": "FP32", "shape": ["-1", "2", "3"]}]
    assert said["metadata"]["versions"] == ["2", "1"]
    assert said["output"] == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert said["version"] == "1"
    assert said["id"] == "r1"
    assert said["second"] == [0, 2, 4]
    counted = {stats["version"]: stats["inference_count"] for stats in said["statistics"]["model_stats"]}
    assert counted == {"1": "2", "2": "2"}
    assert said["index"]["models"] == [{"name": "wave", "version": "1", "state": "READY"}]
    assert not said["unloaded"]
    assert said["why"][0] == "StatusCode.UNAVAILABLE"
    assert said["loaded"]
    assert said["shape"][0] == "StatusCode.INVALID_ARGUMENT"
    assert "[1, 3, 3], but the model takes [-1, 2, 3]" in said["shape"][1]
    assert said["huge"][0] == "StatusCode.RESOURCE_EXHAUSTED"
    assert said["stranger"][0] == "StatusCode.UNAUTHENTICATED"


async def test_versions_are_swapped_under_constant_calls_without_an_error(tmp_path: Path) -> None:
    shelf, end = Shelf(), tmp_path / "end"
    async with asyncio.timeout(LIMIT_S), serving(shelf) as mesh:
        process = await start(mesh, "until", str(end))
        last: dict[str, Any] = {}
        async for line in lines(process):
            last = line
            if line.get("version") == str(shelf.current):
                if shelf.current < 5:
                    shelf.current += 1
                else:
                    end.touch()
        assert await process.wait() == 0
    assert last["errors"] == []
    assert last["seen"] == ["1", "2", "3", "4", "5"]
    assert last["calls"] > 5


async def test_the_http_twin_gives_the_same_answer() -> None:
    async with asyncio.timeout(LIMIT_S), serving(Shelf()) as mesh:
        channel = await mesh.signed_in(PERMISSIONS)
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        request = inference_service_pb2.InferRequest(model_name="wave", model_version="2", id="x")
        tensor = request.inputs.add(name="input", datatype="FP32", shape=[1, 2, 3])
        tensor.data.extend([[[1, 2, 3], [4, 5, 6]]])
        answer = await stub.Infer(request)
    assert [value.number_value for value in answer.outputs[0].data.values] == [2, 4, 6, 8, 10, 12]
    assert list(answer.outputs[0].shape) == [1, 2, 3]
    assert (answer.model_name, answer.model_version, answer.id) == ("wave", "2", "x")
