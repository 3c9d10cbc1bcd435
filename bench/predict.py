"""Predictions through mutual-TLS gRPC by tritonclient, beside a plain call of torch in one process.

The mission's two networks (input 10, hidden 64, 2 layers; window 100). Server and clients are processes of their own.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from automesh.core.clock import utc_now
from automesh.testing.mesh import in_process_mesh
from services.model.domain.serving.versions import BatchLimits, ServedVersion, TensorSpec
from services.model.domain.training.architecture import Lstm, Transformer
from services.model.serving import grpc_service
from services.model.serving.loading import FileLoader
from services.model.serving.model_pool import ModelPool, PoolLimits

TRITON = Path(__file__).resolve().parents[1] / ".tools" / "tritonclient" / "bin" / "python"
WINDOW, FEATURES = 100, 10
CALLS = 1_000
SECONDS = 5.0
CLIENTS = 32
MODELS = {"lstm": Lstm(), "transformer": Transformer()}


def main() -> None:
    """Exports both networks, serves them, measures, prints."""
    if not TRITON.exists():
        raise SystemExit("bench: tritonclient is missing: make .tools/tritonclient/ready")
    with tempfile.TemporaryDirectory() as scratch:
        files = {name: _export(name, Path(scratch)) for name in MODELS}
        print(f"{'':12}{'torch, in process':>22}{'ONNX Runtime':>14}{'served, one at a time':>28}", end="")
        print(f"{f'served, {CLIENTS} at a time':>34}")
        print(f"{'':12}{'p50 ms':>10}{'windows/s':>12}{'p50 ms':>14}{'p50 ms':>10}{'p99 ms':>9}{'/ torch':>9}", end="")
        print(f"{'windows/s':>16}{'batch':>9}{'x torch':>9}")
        for name, file in files.items():
            plain, direct = _plain(name), _direct(file)
            _report(name, plain, direct, asyncio.run(_served(name, file)))


def _export(name: str, folder: Path) -> Path:
    import torch

    from services.model.networks.build import build
    from services.model.networks.shape import Shape

    torch.manual_seed(0)
    network = build(MODELS[name], Shape(WINDOW, FEATURES, 1)).eval()
    batch = torch.export.Dim("batch", min=1, max=4096)
    file = folder / f"{name}.onnx"
    rows = torch.zeros(2, WINDOW, FEATURES)
    quiet = io.StringIO()
    from contextlib import redirect_stderr, redirect_stdout

    with redirect_stdout(quiet), redirect_stderr(quiet):
        torch.onnx.export(
            network, (rows,), file, dynamo=True, external_data=False, dynamic_shapes=({0: batch},),
            input_names=["input"], output_names=["output"], verbose=False,
        )  # fmt: skip
    return file


def _plain(name: str) -> list[float]:
    """Seconds of each prediction of one window by torch, on one thread."""
    import torch

    from services.model.networks.build import build
    from services.model.networks.shape import Shape

    torch.set_num_threads(1)
    network = build(MODELS[name], Shape(WINDOW, FEATURES, 1)).eval()
    rows = torch.randn(1, WINDOW, FEATURES)
    with torch.inference_mode():
        return _timed(lambda: network(rows))


def _direct(file: Path) -> list[float]:
    import numpy as np

    from services.model.serving.backends import OnnxBackend

    backend = OnnxBackend(file.read_bytes())
    rows = np.random.default_rng(0).standard_normal((1, WINDOW, FEATURES)).astype(np.float32)
    return _timed(lambda: backend.run(rows))


def _timed(call: Any) -> list[float]:
    for _ in range(50):
        call()
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return took


class _File:
    """A source of one version."""

    def __init__(self, name: str, file: Path) -> None:
        self._name, self._file = name, file

    async def resolve(self, tenant_id: str, model: str, version: str) -> ServedVersion:
        return ServedVersion(
            tenant_id=tenant_id, model_id=self._name, name=self._name, version=1, limits=BatchLimits(),
            input=TensorSpec(name="input", datatype="FP32", shape=(-1, WINDOW, FEATURES)),
            output=TensorSpec(name="output", datatype="FP32", shape=(-1, 1)),
        )  # fmt: skip

    async def fetch(self, version: ServedVersion, name: str) -> bytes:
        return self._file.read_bytes()

    async def listed(self, tenant_id: str, *, most: int) -> Sequence[ServedVersion]:
        return []

    async def versions(self, tenant_id: str, model_id: str, *, most: int) -> Sequence[int]:
        return [1]


async def _served(name: str, file: Path) -> dict[str, Any]:
    with ThreadPoolExecutor(os.cpu_count() or 1) as executor:
        source = _File(name, file)
        pool = ModelPool(source, FileLoader(source, executor), executor, PoolLimits(), now=utc_now)
        servicer = grpc_service.bound(grpc_service.GrpcInferenceServicer(pool, source, "0"))
        async with in_process_mesh("model", [servicer]) as mesh:
            told = {
                "url": f"127.0.0.1:{mesh.port}",
                "folder": str(mesh.ca.client("bench").folder),
                "server": f"model.{mesh.ca.trust_domain}",
                "token": mesh.mint.mint(["model.predict"], exp=int(time.time()) + 3600),
                "model": name, "shape": [1, WINDOW, FEATURES], "calls": CALLS, "seconds": SECONDS, "clients": CLIENTS,
            }  # fmt: skip
            program = Path(__file__).with_name("_triton_load.py")
            process = await asyncio.create_subprocess_exec(TRITON, program, json.dumps(told), stdout=subprocess.PIPE)
            heard, _ = await process.communicate()
            (loaded,) = pool.loaded
            held = loaded.statistics
        await pool.close()
    alone = CALLS + 50
    batch = (held.windows - alone) / max(1, held.executions - alone)  # those of the second half
    return {**json.loads(heard), "batch": batch}


def _report(name: str, plain: list[float], direct: list[float], served: dict[str, Any]) -> None:
    torch_ms = statistics.median(plain) * 1000
    each = sorted(served["seconds"])
    p50, p99 = each[len(each) // 2] * 1000, each[int(len(each) * 0.99)] * 1000
    rate = served["rate"]
    print(
        f"{name:12}{torch_ms:10.2f}{1000 / torch_ms:12.0f}{statistics.median(direct) * 1000:14.2f}{p50:10.2f}{p99:9.2f}"
        f"{p50 / torch_ms:9.2f}{rate:16.0f}{served['batch']:9.1f}{rate * torch_ms / 1000:9.2f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
