"""The same training inside Ray Train, for those who run Ray: one worker for each process, all of them see the folder.

Workers write their lines into a file of the folder; this process passes them on. On a cluster the folder must be on
storage that all nodes share.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from services.model.trainer.bootstrap import ray_alone
from services.model.trainer.job import Job, read_job
from services.model.trainer.ranks import Place
from services.model.trainer.reporter import Reporter
from services.model.trainer.stopping import Stopping

LINES = ".ray-lines.jsonl"
STOP = ".ray-stop"
LOOK_S = 0.2
START_S = 300.0
"""Longest silence while Ray starts that is taken for work."""


def run(job: Job, reporter: Reporter, stopping: Stopping) -> int:
    """Starts Ray (or joins the cluster of the job), trains there, passes every line on."""
    lines, stop = job.out / LINES, job.out / STOP
    job.out.mkdir(parents=True, exist_ok=True)
    lines.write_bytes(b"")
    stop.unlink(missing_ok=True)
    outcome: list[BaseException | None] = []
    thread = threading.Thread(target=_fit, args=(job, outcome), daemon=True)
    thread.start()
    last = _relay(lines, stop, reporter, stopping, thread)
    if outcome and outcome[0] is not None and last not in ("done", "failed", "stopped"):
        print(f"Ray gave up: {outcome[0]}", file=sys.stderr, flush=True)  # noqa: T201 - for people
        return 1
    return 0 if last else 1


def _relay(lines: Path, stop: Path, reporter: Reporter, stopping: Stopping, thread: threading.Thread) -> str:
    """Until Ray has ended; the kind of the last line."""
    last, ended = "", False
    starting = ExitStack()
    with lines.open(encoding="utf-8") as file, starting:
        starting.enter_context(reporter.busy(START_S))
        while True:
            if stopping.wanted and not stop.exists():
                stop.touch()
            if text := file.readline():
                starting.close()  # from now on the workers give signs of life themselves
                reporter.relay(text.rstrip("\n"))
                last = json.loads(text)["kind"]
            elif ended:
                return str(last)
            else:
                thread.join(LOOK_S)
                ended = not thread.is_alive()


def _fit(job: Job, outcome: list[BaseException | None]) -> None:
    import ray  # noqa: PLC0415 - heavy, for those who asked for it
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415 - for those who run Ray
    from ray.train.torch import TorchTrainer  # noqa: PLC0415 - for those who run Ray

    try:
        ray_alone(job)
        alone: Mapping[str, Any] = {"include_dashboard": False, "num_cpus": job.processes * job.threads}
        if job.ray_address:
            ray.init(address=job.ray_address, runtime_env=_environment())
        else:
            ray.init(address="local", _node_ip_address="127.0.0.1", runtime_env=_environment(), **alone)
        cuda = job.device == "cuda"
        trainer = TorchTrainer(
            work,
            train_loop_config={"folder": str(job.folder)},
            scaling_config=ScalingConfig(
                num_workers=job.processes * job.rendezvous.nodes,
                use_gpu=cuda,
                resources_per_worker={"CPU": job.threads, **({"GPU": 1} if cuda else {})},
            ),
            run_config=RunConfig(
                storage_path=str(job.out / ".ray"), failure_config=FailureConfig(max_failures=job.rendezvous.restarts)
            ),
        )
        trainer.fit()
        outcome.append(None)
    except Exception as error:  # Ray wraps whatever its workers raise
        outcome.append(error)
    finally:
        ray.shutdown()


def _environment() -> dict[str, Any]:
    """Workers find our code where this process finds it."""
    return {
        "env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_WAIT_POLICY": "passive"}
    }


def work(config: Mapping[str, Any]) -> None:
    """One worker: what the program is elsewhere."""
    from ray import train  # noqa: PLC0415 - for those who run Ray

    from services.model.trainer import program  # noqa: PLC0415 - loads torch

    job = read_job(Path(config["folder"]))
    context = train.get_context()
    place = Place(
        rank=context.get_world_rank(), local=context.get_local_rank(), world=context.get_world_size(), met=True
    )
    stopping = _FileStopping(job.out / STOP)
    if place.rank:
        program.run(job, place, Reporter(None), stopping)
        return
    with (job.out / LINES).open("a", encoding="utf-8") as stream:
        program.run(job, place, Reporter(stream), stopping)


class _FileStopping(Stopping):
    """SIGTERM comes to the process that started Ray: it leaves a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__()

    @property
    def wanted(self) -> bool:
        """Looks at the disk."""
        return self._path.exists()

    @wanted.setter
    def wanted(self, value: bool) -> None:
        """Nothing but the file says so."""
