"""Brings runs into the queue: which agents may have them, one task a node, safe to do again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.model.domain.runs.errors import NoGpu
from services.model.domain.runs.ports import NewTask, RunStore, TaskQueue
from services.model.domain.runs.run import LIVE, Run
from services.model.domain.training.resources import Device, NoDevice, Resources

TASK_TYPE = "model_training"
GPU_TASK_TYPE = "model_training.gpu"
"""Agents with a GPU offer it besides the plain type."""


@dataclass(frozen=True, slots=True)
class Route:
    """Whether only agents with a GPU may have the run, and whether there is none yet."""

    on_gpu: bool = False
    waits: bool = False


class Submission:
    """Makes the tasks of runs."""

    def __init__(self, store: RunStore, queue: TaskQueue) -> None:
        self._store = store
        self._queue = queue

    async def route(self, tenant_id: str, resources: Resources) -> Route:
        """Raises NoGpu when a GPU is asked for, none is there, and neither waiting nor the CPU will do."""
        if resources.device is not Device.CUDA:
            return Route()
        if await self._queue.has_gpu(tenant_id):
            return Route(on_gpu=True)
        match resources.without_device:
            case NoDevice.CPU:
                return Route()
            case NoDevice.WAIT:
                return Route(on_gpu=True, waits=True)
            case NoDevice.FAIL:
                raise NoGpu(
                    "spec.resources.device is cuda and no agent with a GPU is connected: start one, or set "
                    "spec.resources.without_device to wait or cpu"
                )

    async def submit(self, run: Run) -> Run:
        """Makes the tasks that are missing; the same ones when it is called again."""
        for place in run.tasks:
            if run.state in LIVE and not run.waits_for_gpu and not place.task_id:
                run = await self._submit_node(run, place.node)
        return run

    async def _submit_node(self, run: Run, node: int) -> Run:
        task = NewTask(
            tenant_id=run.tenant_id,
            subject=run.created_by,
            type=GPU_TASK_TYPE if run.on_gpu else TASK_TYPE,
            description=_description(run, node),
            input=task_input(run, node),
            timeout=run.spec.resources.timeout,
            request_id=f"{run.run_id}.{run.submission}.{node}",
        )
        task_id = await self._queue.submit(task)
        submission = run.submission
        _, after = await self._store.change(
            run.tenant_id,
            run.run_id,
            lambda run, _: run.carried_by(node, task_id) if run.submission == submission else run,
        )
        return after


def task_input(run: Run, node: int) -> Mapping[str, Any]:
    """What the task carries: numbers small enough for JSON."""
    return {"run_id": run.run_id, "submission": run.submission, "node": node}


def _description(run: Run, node: int) -> str:
    nodes = run.spec.resources.nodes
    of_nodes = f", node {node + 1} of {nodes}" if nodes > 1 else ""
    return f"training of {run.model_id} ({run.run_id}{of_nodes})"
