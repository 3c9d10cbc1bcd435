"""Files of runs, in and out: stored under a run token, made into checkpoints, read again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from automesh.core.errors import AutomationError, Kind, PermissionDenied, ValidationError
from services.model.domain.runs import checkpoint
from services.model.domain.runs.checkpoint import Checkpoint, StoredFile, check_digest, check_file_name
from services.model.domain.runs.claims import checkpoint_of, digest, run_folder
from services.model.domain.runs.errors import (
    CheckpointDamaged,
    CheckpointIncomplete,
    FileNotInRun,
    ModelFileTooLarge,
    token_stale,
)
from services.model.domain.runs.ports import RunBlobs, RunStore
from services.model.domain.runs.run import Run, RunState
from services.model.domain.runs.signals import RunSignals

MAX_CHUNK = 1024 * 1024
READ_CHUNK = 256 * 1024
RESERVED_FOR = timedelta(days=1)
WRITABLE = frozenset({RunState.RUNNING, RunState.CANCELLED})
"""A trainer that was told to stop may still leave its last checkpoint."""
PASSING = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.DEADLINE, Kind.CANCELLED})


@dataclass(frozen=True, slots=True)
class FileFact:
    """What an agent says of a file; the name is relative to the checkpoint's folder."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFacts:
    """What an agent says of a whole checkpoint."""

    step: int
    folder: str
    files: Sequence[FileFact]
    best: bool = False

    def __post_init__(self) -> None:
        check_file_name(self.folder, field="folder")
        if self.step < 0 or not self.files:
            raise ValidationError(
                f"a checkpoint has a step (not {self.step}) and files ({len(self.files)})", field="step"
            )
        for each in self.files:
            check_file_name(each.name, field="files.name")
            check_digest(each.sha256, field="files.sha256")


class RunFiles:
    """Every call names its run by the run token. Raises RunTokenStale for one that is good no more."""

    def __init__(
        self,
        store: RunStore,
        blobs: RunBlobs,
        *,
        signals: RunSignals,
        make_id: Callable[[str], str],
        max_bytes: int,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._signals = signals
        self._make_id = make_id
        self._max_bytes = max_bytes

    async def upload(self, token: bytes, name: str, chunks: AsyncIterator[bytes], *, tenant_id: str) -> StoredFile:
        """Stores a file; one of the same name is replaced once the new one is whole."""
        check_file_name(name)
        run = await held_run(self._store, token, tenant_id)
        _check_writable(run)
        blob = f"{run_folder(run)}/{self._make_id('blob')}"
        await self._store.reserve(blob, RESERVED_FOR)
        stored = await self._blobs.put(blob, _bounded(chunks, self._max_bytes))
        file = StoredFile(name, blob, stored.size, stored.sha256)
        await self._store.change(run.tenant_id, run.run_id, lambda run, now: _with_file(run, token, file, now))
        return file

    async def commit(self, token: bytes, told: CheckpointFacts, *, tenant_id: str) -> Run:
        """Makes a whole checkpoint of stored files; those that are no longer kept are let go. Raises
        CheckpointIncomplete."""
        run = await held_run(self._store, token, tenant_id)
        _, after = await self._store.change(
            run.tenant_id, run.run_id, lambda run, now: _committed(run, token, told, now)
        )
        self._signals.changed(run.run_id)
        return after

    async def download(self, token: bytes, name: str, *, tenant_id: str) -> AsyncGenerator[bytes, None]:
        """A file of the checkpoint that the claim goes on from, in chunks. Raises CheckpointDamaged at any chunk."""
        run = await held_run(self._store, token, tenant_id)
        given = await checkpoint_of(self._store, run)
        file = next((each for each in given.files if each.name == name), None) if given else None
        if given is None or file is None:
            raise FileNotInRun(f"the checkpoint of run {run.run_id} has no file {name[:80]!r}", runId=run.run_id)
        try:
            async with aclosing(_sliced(self._blobs.get(file.blob))) as chunks:
                async for chunk in chunks:
                    yield chunk
        except AutomationError as error:
            if error.kind in PASSING:
                raise
            await self._mark_damaged(run, given)
            raise CheckpointDamaged(
                f"{name} of checkpoint {given.folder} cannot be read ({error.message}): claim again to go on from the "
                "one before",
                runId=run.run_id,
                folder=given.folder,
            ) from error

    async def _mark_damaged(self, run: Run, bad: Checkpoint) -> None:
        await self._store.change(
            run.tenant_id,
            run.run_id,
            lambda run, _: replace(run, checkpoints=checkpoint.damaged(run.checkpoints, {bad.folder})),
        )


async def held_run(store: RunStore, token: bytes, tenant_id: str) -> Run:
    """The run of a token. An empty `tenant_id` is an agent of the platform. Raises RunTokenStale, PermissionDenied."""
    run = await store.of_token(digest(token)) if token else None
    if run is None:
        raise token_stale()
    if tenant_id not in {"", run.tenant_id}:
        raise PermissionDenied("the run belongs to another tenant")
    return run


def check_held(run: Run, token: bytes) -> None:
    """Under the run's lock: raises RunTokenStale when a later claim came between."""
    if run.holder(digest(token)) is None:
        raise token_stale(run.run_id)


def _check_writable(run: Run) -> None:
    if run.state not in WRITABLE:
        raise token_stale(run.run_id)


def _with_file(run: Run, token: bytes, file: StoredFile, now: datetime) -> Run:
    check_held(run, token)
    _check_writable(run)
    files = {**run.files, file.name: file}
    if len(files) > checkpoint.MAX_FILES:
        raise ValidationError(f"a run holds at most {checkpoint.MAX_FILES} files at a time", field="name")
    return replace(run, files=files, heard_at=now)


def _committed(run: Run, token: bytes, told: CheckpointFacts, now: datetime) -> Run:
    check_held(run, token)
    _check_writable(run)
    known = next((each for each in run.checkpoints if each.folder == told.folder), None)
    if known and not known.damaged and known.step == told.step and _same(known.files, told.files):
        files = known.files  # said again
    else:
        files = tuple(_stored(run, told.folder, each) for each in told.files)
    new = Checkpoint(folder=told.folder, step=told.step, files=files, best=told.best)
    return replace(
        run,
        files={name: each for name, each in run.files.items() if not name.startswith(f"{told.folder}/")},
        checkpoints=checkpoint.added(run.checkpoints, new, run.spec.checkpointing.keep_last),
        heard_at=now,
        revision=run.revision + 1,
    )


def _same(stored: Sequence[StoredFile], told: Sequence[FileFact]) -> bool:
    return {(each.name, each.size, each.sha256) for each in stored} == {
        (each.name, each.size, each.sha256) for each in told
    }


def _stored(run: Run, folder: str, told: FileFact) -> StoredFile:
    file = run.files.get(f"{folder}/{told.name}")
    if file is None or (file.size, file.sha256) != (told.size, told.sha256):
        what = f"is {file.size} bytes, {file.sha256}" if file else "was not stored"
        raise CheckpointIncomplete(
            f"{folder}/{told.name} {what}; said to be {told.size} bytes, {told.sha256}: store it again, then commit",
            runId=run.run_id,
            name=told.name,
        )
    return replace(file, name=told.name)


async def _bounded(chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        if len(chunk) > MAX_CHUNK:
            raise ValidationError(f"a chunk of {len(chunk)} bytes is more than {MAX_CHUNK}", field="chunk")
        size += len(chunk)
        if size > max_bytes:
            raise ModelFileTooLarge(
                f"a file of a run has at most {max_bytes} bytes here: the operator can raise "
                "AUTOMESH_MAX_MODEL_FILE_BYTES",
                field="chunk",
                limit=max_bytes,
            )
        yield chunk


async def _sliced(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        for start in range(0, len(chunk), READ_CHUNK):
            yield chunk[start : start + READ_CHUNK]
