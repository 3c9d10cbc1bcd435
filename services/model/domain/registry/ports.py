"""What the registry needs from outside. Every method may raise Unavailable while the database is away.

Anything of another tenant raises the error of a thing that is not there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.model.domain.registry.drift import ColumnShape
from services.model.domain.registry.gates import Measured
from services.model.domain.registry.model import Model, ModelText
from services.model.domain.registry.moves import AliasMove, AliasRequest, NewMove
from services.model.domain.registry.version import ModelVersion, NewVersion


class BasisChanged(Exception):
    """What a move was decided on is not so any more: decide again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuery:
    """A page of models, the latest change first. `before` is (updated_at, model_id) of the last one of the page before;
    empty filters let everything pass."""

    limit: int
    before: tuple[datetime, str] | None = None
    name_contains: str = ""
    tag: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A model about to be deleted: itself, and whether one of its runs waits or is at work."""

    model: Model
    trains: bool


class ModelStore(Protocol):
    """Models, versions, aliases and their moves."""

    async def create(self, model_id: str, tenant_id: str, text: ModelText, created_by: str) -> Model:
        """Stores a new model. A model of that name that has neither version nor run is answered instead.

        Raises ModelNameTaken.
        """
        ...

    async def get(self, tenant_id: str, model_id: str) -> Model:
        """Raises ModelNotFound."""
        ...

    async def find(self, tenant_id: str, id_or_name: str) -> Model:
        """The model of that id, else of that name. Raises ModelNotFound."""
        ...

    async def list(self, tenant_id: str, query: ModelQuery) -> Sequence[Model]:
        """A page."""
        ...

    async def change(self, tenant_id: str, model_id: str, change: Callable[[Model], Model]) -> Model:
        """Read, decide and write in one transaction. Raises ModelNotFound, ModelNameTaken, and what `change` raises."""
        ...

    async def delete(self, tenant_id: str, model_id: str, allow: Callable[[Deletion], None]) -> None:
        """Deletes it with versions, runs, aliases and moves, unless `allow` raises; files and datasets are let go of
        afterwards. Raises ModelNotFound."""
        ...

    async def add_version(
        self, tenant_id: str, model_id: str, run_id: str, new: NewVersion, aliases: Sequence[str], *, holder: str = ""
    ) -> ModelVersion:
        """The next version, which asks for `aliases`. The same run gives the same version only once.

        `holder`: SHA-256 of the run token under which its files were stored; RunTokenStale once it is good no more, as
        the files may be gone then. Raises ModelNotFound.
        """
        ...

    async def version_of_run(self, tenant_id: str, run_id: str) -> ModelVersion | None:
        """The version that came of a run."""
        ...

    async def version(self, tenant_id: str, model_id: str, version: int) -> ModelVersion:
        """0 is the latest. Raises ModelNotFound, VersionNotFound."""
        ...

    async def versions(
        self, tenant_id: str, model_id: str, *, limit: int, before: int | None
    ) -> Sequence[ModelVersion]:
        """A page, the newest first. Raises ModelNotFound."""
        ...

    async def move(self, tenant_id: str, model_id: str, move: NewMove) -> Model:
        """Makes a move that was decided, and records it. Where the alias stands there already nothing is recorded.

        Raises BasisChanged when `move.basis` is given and is not so any more; ModelNotFound, VersionNotFound,
        AliasNotFound (removing one that nothing holds).
        """
        ...

    async def moves(self, tenant_id: str, model_id: str, *, limit: int, before: str | None) -> Sequence[AliasMove]:
        """A page, the latest move first. Raises ModelNotFound."""
        ...


class AliasRequests(Protocol):
    """Aliases that new versions ask for: decided soon, once each, by whichever replica takes them."""

    async def take(self, *, limit: int, hold_for: timedelta, model_id: str = "") -> Sequence[AliasRequest]:
        """Those that are due, kept from other replicas for `hold_for`; with `model_id` only of that model."""
        ...

    async def settle(self, request: AliasRequest) -> None:
        """It is decided."""
        ...


class LatencyProbe(Protocol):
    """Measures predictions; serving implements it."""

    async def p99_ms(self, tenant_id: str, model_id: str, version: int) -> float:
        """The 99 % quantile of 100 predictions of batch 1, in milliseconds. Raises AutomationError when it cannot."""
        ...


class DataStatistics(Protocol):
    """What the data service knows of training data."""

    async def columns(self, tenant_id: str, data_id: str, version: int) -> Mapping[str, ColumnShape]:
        """The distribution of each column of the first part. Raises AutomationError."""
        ...


class Datasets(Protocol):
    """What the data service is told of models."""

    async def release(self, tenant_id: str, model_id: str) -> None:
        """The model does not exist any more: its datasets may be deleted. May be said twice."""
        ...


class Blobs(Protocol):
    """The bytes of files."""

    def get(self, name: str) -> AsyncIterator[bytes]:
        """The content in chunks of at most 1 MiB."""
        ...


class GateKeeper(Protocol):
    """Measures what gates ask for that is not in the database."""

    async def latency(self, version: ModelVersion) -> Measured:
        """p99 in milliseconds."""
        ...

    async def drift(self, version: ModelVersion, holder: ModelVersion | None) -> Measured:
        """The population stability index of the worst feature, against the data of `holder`."""
        ...
