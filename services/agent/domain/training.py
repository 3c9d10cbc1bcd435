"""A claimed `model_training` run, and the command line and environment of its trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.agent.domain.files import FileInfo
from services.agent.domain.gpus import Gpu

TRAINER = "services.model.trainer"
CUDA = "cuda"
TORCHRUN = "torchrun"
RESTARTS = 3  # of all processes of a node, when one of them dies


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """How several nodes find each other."""

    endpoint: str
    host_here: bool
    nodes: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingClaim:
    """`token` shows that the run is held. With a `result` nothing is left to do."""

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
    rendezvous: Rendezvous | None = None
    engine: str = ""
    result: Mapping[str, Any] | None = None

    @property
    def reports(self) -> bool:
        """Whether this node tells what becomes of the run; of several nodes one does."""
        return self.rendezvous is None or self.rendezvous.host_here


def command(python: str, claim: TrainingClaim, folder: str) -> list[str]:
    """What to run; `folder` is its only argument."""
    program = ["-m", TRAINER, folder]
    if claim.rendezvous is None and (claim.engine != TORCHRUN or claim.processes == 1):
        return [python, *program]
    return [
        *(python, "-m", "torch.distributed.run", *_meeting(claim.rendezvous)),
        *(f"--nproc-per-node={claim.processes}", f"--max-restarts={RESTARTS}", *program),
    ]


def _meeting(rendezvous: Rendezvous | None) -> Sequence[str]:
    if rendezvous is None:
        return ("--standalone", "--nnodes=1")
    return (
        f"--nnodes={rendezvous.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={rendezvous.endpoint}",
        f"--rdzv-id={rendezvous.id}",
        f"--rdzv-conf=is_host={'true' if rendezvous.host_here else 'false'}",
    )


def environment(threads: int, gpus: Sequence[Gpu]) -> dict[str, str]:
    """Beside what the program inherits: as many threads as it was given, and these GPUs alone."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin cost a busy machine more than they gain
        "CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in gpus),
    }
