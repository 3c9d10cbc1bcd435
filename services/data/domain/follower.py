"""Follows the tasks of versions that were not heard of for a while: what fails elsewhere fails here too."""

from __future__ import annotations

from datetime import timedelta

from automesh.core.errors import AutomationError, Kind
from services.data.domain.maker import VersionMaker
from services.data.domain.ports import Tasks, TaskState, VersionStore
from services.data.domain.version import Failure, Version

BATCH = 50
MOST_ERRORS = 3
"""So many in one round mean that the orchestrator is away."""
_PASSING = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.DEADLINE, Kind.ABORTED, Kind.CANCELLED})


class TaskFollower:
    """One bounded round at a time."""

    def __init__(self, versions: VersionStore, tasks: Tasks, maker: VersionMaker, *, quiet_for: timedelta) -> None:
        self._versions, self._tasks, self._maker = versions, tasks, maker
        self._quiet_for = quiet_for

    async def follow(self) -> int:
        """Looks after up to BATCH versions; returns how many there were."""
        quiet = await self._versions.quiet(self._quiet_for, BATCH)
        errors: list[AutomationError] = []
        for version in quiet:
            try:
                await self._follow(version)
            except AutomationError as error:  # it is looked at again; the others are not to wait for it
                errors.append(error)
                if len(errors) > MOST_ERRORS:
                    break
        if errors:
            raise errors[0]
        return len(quiet)

    async def _follow(self, version: Version) -> None:
        if not version.task_id:
            await self._resubmit(version)
            return
        failure = _failure(await self._tasks.state(version.tenant_id, version.task_id))
        if failure is not None:
            await self._versions.fail(version, failure)

    async def _resubmit(self, version: Version) -> None:
        """The process that stored the version died before it had made the task."""
        try:
            await self._maker.resubmit(version)
        except AutomationError as error:
            if error.kind in _PASSING:
                raise
            await self._versions.fail(version, Failure("TASK_NOT_CREATED", error.message))


def _failure(state: TaskState | None) -> Failure | None:
    if state is None:
        return Failure("TASK_GONE", "the task that was to make this version was deleted")
    if state.status == "FAILED":
        return Failure(state.reason or "TASK_FAILED", state.message or "the task failed and said no more")
    if state.status == "CANCELLED":
        return Failure("TASK_CANCELLED", "the task that was to make this version was cancelled")
    if state.status == "COMPLETED":
        return Failure("TASK_WITHOUT_RESULT", "the task ended without registering the version")
    return None
