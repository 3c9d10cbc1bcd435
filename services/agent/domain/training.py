"""A claimed `model_training` run, and the command line and environment of its trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.agent.domain.files import FileInfo
from services.agent.domain.gpus import Gpu

TRAINER = "services.model.trainer"
CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingClaim:
    """`token` shows that the run is held. With a `result` nothing is left to do. `processes` are those of this node."""

    token: bytes
    run_id: str
    job: bytes
    data_id: str
    data_version: int
    checkpoint: Sequence[FileInfo] = ()
    processes: int = 1
    threads: int = 1
    device: str = "cpu"
    share_gpu: bool = False
    silence_s: float = 0.0
    memory_bytes: int = 0
    reports: bool = True
    """Of several nodes one tells what becomes of the run."""
    result: Mapping[str, Any] | None = None


def command(python: str, folder: str) -> Sequence[str]:
    """What to run. For several processes it becomes their launcher by itself."""
    return (python, "-m", TRAINER, folder)


def environment(threads: int, gpus: Sequence[Gpu]) -> dict[str, str]:
    """Beside what the program inherits: as many threads as it was given, and these GPUs alone."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin cost a busy machine more than they gain
        "CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in gpus),
    }
