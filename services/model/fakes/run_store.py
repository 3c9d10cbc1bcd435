"""Runs, points and sweeps in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from automesh.core.clock import Clock
from services.model.domain.registry.errors import model_name_taken
from services.model.domain.runs.errors import request_reused, run_not_found, sweep_not_found, too_many_runs
from services.model.domain.runs.ports import Change, Recording, RunQuery, Stamp, SweepChange
from services.model.domain.runs.progress import MetricPoint
from services.model.domain.runs.run import ENDED, LIVE, Run, RunState
from services.model.domain.sweeps.sweep import Sweep


class FakeRunStore:
    """A services.model.domain.run_ports.RunStore. `discarded` holds blobs to be removed and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.runs: dict[str, Run] = {}
        self.recorded: dict[str, list[MetricPoint]] = {}
        self.discarded: dict[str, datetime] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}
        self._tasks: dict[str, str] = {}
        self._checked: dict[str, datetime] = {}

    async def create(
        self, run: Run, *, request_id: str = "", fingerprint: str = "", limit: int, new_model: bool = False
    ) -> tuple[Run, bool]:
        live = sum(each.tenant_id == run.tenant_id and each.state in LIVE for each in self.runs.values())
        if live >= limit:
            raise too_many_runs(live, limit)
        first = await self._first(run, request_id, fingerprint)
        if first is not None:
            return first, False
        if new_model and any(each.model_id == run.model_id for each in self.runs.values()):
            raise model_name_taken("that it has", run.model_id)
        stored = replace(run, created_at=self._clock())
        self.runs[run.run_id], self.recorded[run.run_id] = stored, []
        self._checked[run.run_id] = self._clock()
        if request_id:
            self._requests[run.tenant_id, request_id] = (run.run_id, fingerprint)
        self._index(stored)
        return stored, True

    async def by_request(self, tenant_id: str, request_id: str, fingerprint: str) -> Run | None:
        run_id, known = self._requests.get((tenant_id, request_id), ("", ""))
        if not run_id:
            return None
        if known != fingerprint:
            raise request_reused(request_id)
        return self.runs[run_id]

    async def get(self, tenant_id: str, run_id: str) -> Run:
        run = self.runs.get(run_id)
        if run is None or run.tenant_id != tenant_id:
            raise run_not_found(run_id)
        return run

    async def of_task(self, task_id: str) -> Run | None:
        return self.runs.get(self._tasks.get(task_id, ""))

    async def of_token(self, token: str) -> Run | None:
        return next((each for each in self.runs.values() if each.holder(token)), None)

    async def list(self, tenant_id: str, query: RunQuery) -> Sequence[Run]:
        found = [
            each
            for each in self.runs.values()
            if each.tenant_id == tenant_id
            and query.model_id in {"", each.model_id}
            and query.state in {None, each.state}
            and query.sweep_id in {"", each.sweep_id}
            and (query.before is None or each.run_id < query.before)
        ]
        return sorted(found, key=lambda each: each.run_id, reverse=True)[: query.limit]

    async def change(self, tenant_id: str, run_id: str, change: Change) -> tuple[Run, Run]:
        before = await self.get(tenant_id, run_id)
        after = change(before, self._clock())
        self._write(before, after)
        return before, after

    async def record(self, tenant_id: str, run_id: str, recording: Recording) -> Run:
        before = await self.get(tenant_id, run_id)
        after, points = recording(before, self._clock())
        self._write(before, after)
        self.recorded[run_id] += points
        return after

    async def delete(self, tenant_id: str, run_id: str) -> None:
        run = self.runs.get(run_id)
        if run and run.tenant_id == tenant_id and run.claims == 0 and run.state is RunState.QUEUED:
            del self.runs[run_id]
            self._requests = {key: told for key, told in self._requests.items() if told[0] != run_id}

    async def stamp(self, tenant_id: str, run_id: str) -> Stamp:
        run = await self.get(tenant_id, run_id)
        return Stamp(run.revision, run.last_sequence)

    async def points(
        self, tenant_id: str, run_id: str, *, after: int, limit: int, names: Collection[str] = ()
    ) -> Sequence[MetricPoint]:
        run = self.runs.get(run_id)
        if run is None or run.tenant_id != tenant_id:
            return []
        found = [each for each in self.recorded[run_id] if each.sequence > after and (not names or each.name in names)]
        return found[:limit]

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        self.discarded[blob] = self._clock() + keep_for

    async def unheard(self, *, silent_for: timedelta, limit: int) -> Sequence[Run]:
        now = self._clock()

        def due(run: Run) -> bool:
            quiet = run.finished_at is not None or (run.heard_at or run.created_at) < now - silent_for
            return not run.settled and self._checked[run.run_id] < now - silent_for and quiet

        found = sorted(filter(due, self.runs.values()), key=lambda run: self._checked[run.run_id])[:limit]
        self._checked.update({run.run_id: now for run in found})
        return found

    async def forget_points(self, *, ended_for: timedelta, keep: int, limit: int) -> int:
        gone = 0
        for run in self.runs.values():
            old = run.finished_at is not None and run.finished_at < self._clock() - ended_for
            last = run.last_sequence if old else run.last_sequence - keep
            points = self.recorded[run.run_id]
            kept = [each for each in points if each.sequence > last]
            gone += len(points) - len(kept)
            self.recorded[run.run_id] = kept
        return gone

    async def _first(self, run: Run, request_id: str, fingerprint: str) -> Run | None:
        if request_id and (known := await self.by_request(run.tenant_id, request_id, fingerprint)):
            return known
        of_task = [await self.of_task(each.task_id) for each in run.tasks if each.task_id]
        return next(filter(None, of_task), None) or self.runs.get(run.run_id)

    def _write(self, before: Run, after: Run) -> None:
        check_invariants(after)
        self.runs[after.run_id] = after
        self._index(after)
        for blob in _blobs(before) - _blobs(after):
            self.discarded[blob] = self._clock()
        for blob in _blobs(after) - _blobs(before):
            self.discarded.pop(blob, None)

    def _index(self, run: Run) -> None:
        self._tasks.update({each.task_id: run.run_id for each in run.tasks if each.task_id})


class FakeSweepStore:
    """A services.model.domain.run_ports.SweepStore."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.sweeps: dict[str, Sweep] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}
        self._checked: dict[str, datetime] = {}

    async def create(
        self, sweep: Sweep, *, request_id: str = "", fingerprint: str = "", new_model: bool = False
    ) -> tuple[Sweep, bool]:
        if request_id and (known := await self.by_request(sweep.tenant_id, request_id, fingerprint)):
            return known, False
        if new_model and any(each.model_id == sweep.model_id for each in self.sweeps.values()):
            raise model_name_taken("that it has", sweep.model_id)
        stored = replace(sweep, created_at=self._clock())
        self.sweeps[sweep.sweep_id] = stored
        if request_id:
            self._requests[sweep.tenant_id, request_id] = (sweep.sweep_id, fingerprint)
        return stored, True

    async def by_request(self, tenant_id: str, request_id: str, fingerprint: str) -> Sweep | None:
        sweep_id, known = self._requests.get((tenant_id, request_id), ("", ""))
        if not sweep_id:
            return None
        if known != fingerprint:
            raise request_reused(request_id)
        return self.sweeps[sweep_id]

    async def get(self, tenant_id: str, sweep_id: str) -> Sweep:
        sweep = self.sweeps.get(sweep_id)
        if sweep is None or sweep.tenant_id != tenant_id:
            raise sweep_not_found(sweep_id)
        return sweep

    async def change(self, tenant_id: str, sweep_id: str, change: SweepChange) -> tuple[Sweep, Sweep]:
        before = await self.get(tenant_id, sweep_id)
        self.sweeps[sweep_id] = change(before, self._clock())
        return before, self.sweeps[sweep_id]

    async def due(self, *, every: timedelta, limit: int) -> Sequence[Sweep]:
        now = self._clock()
        found = [
            each
            for each in self.sweeps.values()
            if each.state is RunState.RUNNING
            and self._checked.get(each.sweep_id, datetime.min.replace(tzinfo=now.tzinfo)) < now - every
        ][:limit]
        self._checked.update({each.sweep_id: now for each in found})
        return found


def check_invariants(run: Run) -> None:
    """The constraints of the table. Raises AssertionError."""
    rules = {
        "finished exactly when ended": (run.finished_at is not None) == (run.state in ENDED),
        "a version exactly when completed": (run.model_version > 0) == (run.state is RunState.COMPLETED),
        "a failure exactly when failed": (run.failure is not None) == (run.state is RunState.FAILED),
        "trains after a claim": run.claims > 0 or run.state not in {RunState.RUNNING, RunState.COMPLETED},
        "waits only while queued": run.state is RunState.QUEUED or not run.waits_for_gpu,
        "settled only when ended": run.state in ENDED or not run.settled,
    }
    if wrong := [rule for rule, held in rules.items() if not held]:
        raise AssertionError(f"run {run.run_id} is {run.state}: {', '.join(wrong)}")


def _blobs(run: Run) -> set[str]:
    return {each.blob for each in [*run.files.values(), *(file for point in run.checkpoints for file in point.files)]}
