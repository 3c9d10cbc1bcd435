"""The beginning of the program: what the environment says, and what must stand in it before torch is loaded."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
import uuid
from collections.abc import Callable, Sequence
from typing import IO, NoReturn

from services.model.trainer.job import Job, Rendezvous
from services.model.trainer.ranks import Place

_PR_SET_PDEATHSIG = 1


def own_stdout() -> IO[str]:
    """The stream of the protocol. Whatever else prints to stdout, C libraries too, goes to stderr from now on."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return stream


def prepare(job: Job) -> None:
    """Threads that wait must sleep, not spin: neighbours want the cores too. Before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ["OMP_NUM_THREADS"] = str(job.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("MPLCONFIGDIR", str(job.out / ".matplotlib"))


def launched() -> bool:
    """Whether torchrun started this process."""
    return "RANK" in os.environ and "TORCHELASTIC_RUN_ID" in os.environ


def ray_alone(job: Job) -> None:
    """A Ray of our own listens on loopback only; by default it takes that for a mistake and listens everywhere."""
    if not job.ray_address:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"


def place(job: Job) -> Place:
    """Which of the processes this is."""
    if not launched():
        return Place()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a launcher that was killed leaves no ranks behind
    return Place(
        rank=int(os.environ["RANK"]),
        local=int(os.environ["LOCAL_RANK"]),
        world=int(os.environ["WORLD_SIZE"]),
        restarts=int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
        run=os.environ["TORCHELASTIC_RUN_ID"],
        nodes=job.rendezvous.nodes,
    )


def become_torchrun(job: Job, stream: IO[str]) -> None:
    """Replaces this process by torch's elastic launcher, which starts this program once for each rank."""
    os.dup2(stream.fileno(), 1)
    environment = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    if job.rendezvous.nodes == 1:
        environment |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    os.execve(sys.executable, [sys.executable, *torchrun_arguments(job)], environment)  # noqa: S606 - becoming it is the point


def _order(meeting: Rendezvous) -> Sequence[str]:
    """Nodes are numbered in the order of their names, and only the first one's name must be an address: the node that
    hosts the meeting has to be the first, as the agent there is the one that listens."""
    host = meeting.endpoint.rpartition(":")[0]
    name = host if meeting.host_here else f"~{uuid.uuid4().hex}"  # "~" comes after whatever an address begins with
    return [f"--rdzv-conf=is_host={str(meeting.host_here).lower()}", f"--local-addr={name}"]


def torchrun_arguments(job: Job) -> Sequence[str]:
    """On one node the launcher meets itself in a file: no port is opened."""
    meeting = job.rendezvous
    rendezvous = ["--rdzv-backend=c10d", f"--rdzv-id={meeting.id or uuid.uuid4().hex}", f"--nnodes={meeting.nodes}"]
    if meeting.nodes == 1:
        store = job.out / ".meeting" / f"launch-{uuid.uuid4().hex}"
        store.parent.mkdir(parents=True, exist_ok=True)
        rendezvous += [f"--rdzv-endpoint={store}", "--rdzv-conf=store_type=file", "--local-addr=127.0.0.1"]
    else:
        rendezvous += [f"--rdzv-endpoint={meeting.endpoint}", *_order(meeting)]
    return [
        "-m",
        "torch.distributed.run",
        *rendezvous,
        f"--nproc-per-node={job.processes}",
        f"--max-restarts={meeting.restarts}",
        "--monitor-interval=0.5",
        "-m",
        "services.model.trainer",
        str(job.folder),
    ]


def end_at_once(work: Callable[[], int]) -> NoReturn:
    """Works, then ends the process without freeing anything: freeing a process group may hang for ever."""
    code = 1
    try:
        code = work()
    except BaseException:  # told as Python does it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
