"""Agents take up runs: the lease is checked, a run token replaces the one before, and the way on is laid out."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from automesh.core.errors import PermissionDenied, ValidationError
from services.model.domain import bounds
from services.model.domain.runs import checkpoint
from services.model.domain.runs.checkpoint import Checkpoint
from services.model.domain.runs.errors import GPU_RETRY_AFTER, GpuElsewhere, NoGpu, TaskNotOfRun
from services.model.domain.runs.ports import LeasedTask, ModelRegistry, RunBlobs, RunStore, SpecJson, TaskQueue
from services.model.domain.runs.run import Run, RunState, RunTask
from services.model.domain.runs.signals import RunSignals
from services.model.domain.runs.submission import TASK_TYPE, Submission
from services.model.domain.runs.trainings import Order, Trainings
from services.model.domain.training.resources import Device, NoDevice

TOKEN_BYTES = 32
DAMAGED = "CHECKPOINT_DAMAGED"
"""Reason of an attempt that could not read the checkpoint it was given."""
PORTS = 1000
MAX_HOST = 255


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Where the nodes of a run meet. `here`: the claiming agent opens it, and reports for all."""

    endpoint: str
    here: bool
    nodes: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What an agent is to do. A run that is COMPLETED already has nothing but itself."""

    run: Run
    token: bytes = b""
    device: str = Device.CPU
    checkpoint: Checkpoint | None = None
    rendezvous: Rendezvous | None = None

    @property
    def finished(self) -> bool:
        """An earlier attempt did it, and could not say so."""
        return self.run.state is RunState.COMPLETED


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who claims: the tenant of its token (empty: an agent of the platform), where it is reached, and its GPUs."""

    tenant_id: str
    host: str
    gpus: int


@dataclass(frozen=True, slots=True)
class _Taking:
    """A claim that is good: `token` is the SHA-256 of the new one, `bad` are checkpoints that cannot be read."""

    leased: LeasedTask
    claimant: Claimant
    token: str
    bad: frozenset[str]


class ClaimDesk:
    """Where agents take up runs."""

    def __init__(
        self,
        store: RunStore,
        trainings: Trainings,
        queue: TaskQueue,
        blobs: RunBlobs,
        registry: ModelRegistry,
        *,
        specs: SpecJson,
        signals: RunSignals,
        first_port: int,
    ) -> None:
        self._store = store
        self._trainings = trainings
        self._submission = Submission(store, queue)
        self._queue = queue
        self._blobs = blobs
        self._registry = registry
        self._specs = specs
        self._signals = signals
        self._first_port = first_port

    async def claim(self, lease_token: bytes, claimant: Claimant) -> Claimed:
        """The run of the leased task, taken up. A bare spec as the task's input makes the run now.

        Raises RunNotLive, TaskNotOfRun, NoGpu, GpuElsewhere, PermissionDenied, and what starting a run raises.
        """
        bounds.text(claimant.host, MAX_HOST, field="advertise_host")
        leased = await self._queue.describe(lease_token)
        if claimant.tenant_id not in {"", leased.tenant_id}:
            raise PermissionDenied("the lease belongs to a task of another tenant")
        run = await self._run(leased)
        if run.state is RunState.COMPLETED:
            return Claimed(run=run)
        run.check_live()
        device = await self._device(run, claimant.gpus)
        bad = await self._unreadable(run, leased)
        token = secrets.token_bytes(TOKEN_BYTES)
        taking = _Taking(leased, claimant, digest(token), frozenset(bad))
        _, after = await self._store.change(run.tenant_id, run.run_id, lambda run, now: self._begun(run, taking, now))
        self._signals.changed(run.run_id)
        after = await self._cleared(after, after.task(leased.task_id))
        if after.state is RunState.COMPLETED:
            return Claimed(run=after)
        after = await self._submission.submit(after)  # the other nodes, where the first task made the run
        return await self._claimed(after, after.task(leased.task_id), token, device)

    # ------------------------------------------------------------------ which run
    async def _run(self, leased: LeasedTask) -> Run:
        if leased.type.partition(".")[0] != TASK_TYPE:
            raise ValidationError(f"the lease is for a task of type {leased.type!r}, not {TASK_TYPE!r}", field="type")
        run_id = leased.input.get("run_id")
        known = await self._store.of_task(leased.task_id)
        if known is not None and (run_id is None or known.is_carried_by(leased.task_id)):
            known.task(leased.task_id)
            return known
        if run_id is None:
            return await self._trainings.start(self._order(leased))
        run = await self._store.get(leased.tenant_id, str(run_id))
        if leased.input.get("submission", 1) != run.submission:
            raise TaskNotOfRun(
                f"task {leased.task_id} is of an earlier time of run {run.run_id}: it was resumed since",
                runId=run.run_id,
                taskId=leased.task_id,
            )
        return run.carried_by(_node(leased), leased.task_id)

    def _order(self, leased: LeasedTask) -> Order:
        return Order(
            tenant_id=leased.tenant_id,
            subject=leased.created_by,
            spec=self._specs.read(leased.input),
            task_id=leased.task_id,
        )

    # ------------------------------------------------------------------ where
    async def _device(self, run: Run, gpus: int) -> str:
        resources = run.spec.resources
        enough = gpus >= resources.processes
        if resources.device is Device.CPU or (resources.device is Device.AUTO and not enough):
            return Device.CPU
        if enough:
            return Device.CUDA
        if resources.without_device is NoDevice.CPU:
            return Device.CPU
        told = f"run {run.run_id} asks for {resources.processes} GPU(s) and this agent has {gpus}"
        if resources.without_device is NoDevice.WAIT or await self._queue.has_gpu(run.tenant_id):
            raise GpuElsewhere(f"{told}: another agent may have them", retry_after=GPU_RETRY_AFTER, runId=run.run_id)
        raise NoGpu(
            f"{told}: start an agent on a machine with GPUs, or set spec.resources.without_device to wait or cpu",
            runId=run.run_id,
        )

    # ------------------------------------------------------------------ from where on
    async def _cleared(self, run: Run, place: RunTask) -> Run:
        """Earlier claims can add nothing any more: a version of theirs completes the run, else their files are let go.

        Not sooner: a version that they were just registering would lose its files.
        """
        version = await self._registry.version_of_run(run.tenant_id, run.run_id)
        if version is None and not (run.files and run.is_host(place)):
            return run

        def cleared(run: Run, now: datetime) -> Run:
            if run.holder(place.token) is None:
                return run  # a later claim does it
            return run.concluded(version, now) if version else replace(run, files={})

        _, after = await self._store.change(run.tenant_id, run.run_id, cleared)
        self._signals.changed(run.run_id)
        return after

    async def _unreadable(self, run: Run, leased: LeasedTask) -> set[str]:
        """Folders of checkpoints that the last attempt could not read, or whose files are gone."""
        bad = {run.claimed_checkpoint} if leased.last_failure == DAMAGED and run.claimed_checkpoint else set()
        if run.checkpoints:
            stored = {each.name async for each in self._blobs.list(run_folder(run))}
            bad |= {each.folder for each in run.checkpoints if any(file.blob not in stored for file in each.files)}
        return bad

    def _begun(self, run: Run, taking: _Taking, now: datetime) -> Run:
        leased = taking.leased
        run.check_live()
        run = run.carried_by(_node(leased) if "run_id" in leased.input else 0, leased.task_id)
        place = run.task(leased.task_id)
        place = replace(place, claims=place.claims + 1, token=taking.token)
        run = replace(run.with_task(place), checkpoints=checkpoint.damaged(run.checkpoints, taking.bad), heard_at=now)
        if run.host_node not in {-1, place.node}:
            return run
        return self._hosted(run, place, taking.claimant, now)

    def _hosted(self, run: Run, place: RunTask, claimant: Claimant, now: datetime) -> Run:
        """This claim is the one that reports: what earlier ones did not finish is let go of."""
        newest = checkpoint.newest(run.checkpoints)
        claims = run.claims + 1
        port = self._first_port + int(digest(f"{run.run_id}.{claims}".encode())[:8], 16) % PORTS
        return replace(
            run,
            state=RunState.RUNNING,
            claims=claims,
            host_node=place.node,
            endpoint=f"{claimant.host or 'localhost'}:{port}" if run.spec.resources.nodes > 1 else "",
            claimed_checkpoint=newest.folder if newest else "",
            last_batch=0,
            replayed={name: each.step for name, each in run.metrics.items()},
            pace=None,
            waits_for_gpu=False,
            started_at=run.started_at or now,
            revision=run.revision + 1,
        )

    async def _claimed(self, run: Run, place: RunTask, token: bytes, device: str) -> Claimed:
        nodes = run.spec.resources.nodes
        meeting = Rendezvous(run.endpoint, run.is_host(place), nodes, f"{run.run_id}.{run.claims}")
        return Claimed(
            run=run,
            token=token,
            device=device,
            checkpoint=await checkpoint_of(self._store, run),
            rendezvous=meeting if nodes > 1 else None,
        )


async def checkpoint_of(store: RunStore, run: Run) -> Checkpoint | None:
    """The checkpoint that the present claim goes on from: the run's own, else the last one of its origin."""
    own = next((each for each in run.checkpoints if each.folder == run.claimed_checkpoint), None)
    if own is not None or not run.origin:
        return own
    return checkpoint.newest((await store.get(run.tenant_id, run.origin)).checkpoints)


def digest(token: bytes) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token).hexdigest()


def run_folder(run: Run) -> str:
    """Where the blobs of a run are."""
    return f"runs/{run.tenant_id}/{run.run_id}"


def _node(leased: LeasedTask) -> int:
    node = leased.input.get("node", 0)
    return int(node) if isinstance(node, int | float) else -1
