"""The versions in memory. A new version is warm before requests reach it, and the old one answers until then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from automesh.core.errors import AutomationError, Kind, Unavailable
from services.model.domain.serving.versions import ServedVersion, VersionSource
from services.model.serving.batcher import ModelUnloaded
from services.model.serving.loaded import LoadedVersion
from services.model.serving.loading import Loader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

log = structlog.get_logger(__name__)

MAX_ROUTES = 10_000
TRIES = 3  # a version may leave the memory between being found and being asked

Key = tuple[str, str, int]
Asked = tuple[str, str, str]
"""Tenant, model and version as a request names them."""


class ModelTakenOut(Unavailable):
    """Somebody unloaded the model on purpose."""

    reason = "MODEL_TAKEN_OUT"


@dataclass(slots=True)
class _Route:
    """Where requests that name a model so go now."""

    loaded: LoadedVersion
    checked_at: float
    refreshing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What may be in memory, and how soon a moved alias is noticed."""

    max_loaded: int = 20
    max_bytes: int = 2 * 1024**3
    """Sum of the files that versions were loaded from."""
    refresh_s: float = 1.0
    trust_s: float = 3.0
    """A request looks first, instead of meanwhile, when nobody has looked for so long."""
    patience_s: float = 1.0
    """Such a request waits no longer than this: the version in memory goes on while the database is away."""


class ModelPool:
    """Finds, loads, swaps and lets go of versions. To be used in one event loop."""

    def __init__(
        self,
        source: VersionSource,
        loader: Loader,
        executor: Executor,
        limits: PoolLimits,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._loader, self._executor, self._limits = source, loader, executor, limits
        self._now, self._monotonic = now, monotonic
        self._routes: dict[Asked, _Route] = {}
        self._loaded: dict[Key, LoadedVersion] = {}  # the one used last stands last
        self._loading: dict[Key, asyncio.Task[LoadedVersion]] = {}
        self._taken_out: set[tuple[str, str]] = set()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def platform(self) -> str:
        """What computes, as the protocol names it."""
        return self._loader.platform

    @property
    def loaded(self) -> Sequence[LoadedVersion]:
        """What is in memory."""
        return tuple(self._loaded.values())

    async def find(self, tenant_id: str, model: str, version: str) -> LoadedVersion:
        """The version that answers now. Loads it when nothing does; otherwise waits only after a time without requests,
        in which the model may have been deleted."""
        asked = (tenant_id, model, version)
        route = self._routes.get(asked)
        if route is not None:
            await self._look_again(asked, route)
            route = self._routes.get(asked)
        if route is None:
            route = await self._open(asked)
        self._check_taken_out(route.loaded.served)
        self._touch(route.loaded)
        return route.loaded

    async def infer(
        self, tenant_id: str, model: str, version: str, rows_for: Callable[[ServedVersion], Rows]
    ) -> tuple[ServedVersion, Rows]:
        """Predicts. `rows_for` checks and converts the request for the version that answers it."""
        for _ in range(TRIES):
            loaded = await self.find(tenant_id, model, version)
            try:
                return loaded.served, await loaded.infer(rows_for(loaded.served))
            except ModelUnloaded:
                self._forget_routes(loaded)
        raise ModelUnloaded("the model left the memory again and again: it holds too few models (serving_max_loaded)")

    async def describe(self, tenant_id: str, model: str, version: str) -> ServedVersion:
        """What a request would reach, without loading it."""
        return await self._source.resolve(tenant_id, model, version)

    async def load(self, tenant_id: str, model: str) -> LoadedVersion:
        """Makes the model's current version ready, also after `unload`."""
        served = await self._source.resolve(tenant_id, model, "")
        self._taken_out.discard((tenant_id, served.model_id))
        return await self._load(served)

    async def unload(self, tenant_id: str, model: str) -> None:
        """Refuses requests for the model until `load`, and lets go of its versions once they have answered."""
        served = await self._source.resolve(tenant_id, model, "")
        self._taken_out.add((tenant_id, served.model_id))
        for loaded in self.loaded:
            if loaded.served.key[:2] == (tenant_id, served.model_id):
                self._forget_routes(loaded)
                self._retire(loaded)

    def is_taken_out(self, served: ServedVersion) -> bool:
        """Whether `unload` refuses requests for it."""
        return served.key[:2] in self._taken_out

    async def close(self) -> None:
        """Answers what waits, then lets go of everything."""
        for loading in tuple(self._loading.values()):
            loading.cancel()
        for loaded in self.loaded:
            self._retire(loaded)
        if self._background:
            await asyncio.wait(self._background)

    async def _look_again(self, asked: Asked, route: _Route) -> None:
        age = self._monotonic() - route.checked_at
        if age <= self._limits.refresh_s or route.refreshing:
            return
        route.refreshing = True
        refreshed = self._spawn(self._refresh(asked, route))
        if age > self._limits.trust_s:
            await asyncio.wait([refreshed], timeout=self._limits.patience_s)

    async def _open(self, asked: Asked) -> _Route:
        served = await self._source.resolve(*asked)
        self._check_taken_out(served)
        loaded = await self._load(served)
        route = self._routes[asked] = _Route(loaded, self._monotonic())
        while len(self._routes) > MAX_ROUTES:
            self._routes.pop(next(iter(self._routes)))
        return route

    async def _refresh(self, asked: Asked, route: _Route) -> None:
        """Looks where the name points by now. The old version goes on until the new one is warm."""
        try:
            served = await self._source.resolve(*asked)
            if served != (old := route.loaded).served:
                route.loaded = await self._load(served)
                self._let_go_if_unused(old)
        except AutomationError as error:
            if error.kind is Kind.NOT_FOUND:
                self._routes.pop(asked, None)
                self._let_go_if_unused(route.loaded)
                return
            log.warning("the version in memory goes on", model=asked[1], reason=error.reason, error=error.message)
        except Exception:
            log.exception("the version in memory goes on", model=asked[1])
        finally:
            route.checked_at = self._monotonic()
            route.refreshing = False

    async def _load(self, served: ServedVersion) -> LoadedVersion:
        """Loads a version once, however many ask for it."""
        present = self._loaded.get(served.key)
        if present is not None and present.served == served:
            return present
        loading = self._loading.get(served.key)
        if loading is None:
            loading = self._loading[served.key] = asyncio.create_task(self._bring(served), name="load a model")
            loading.add_done_callback(lambda _: self._loading.pop(served.key, None))
        return await asyncio.shield(loading)

    async def _bring(self, served: ServedVersion) -> LoadedVersion:
        backend, size = await self._loader.load(served)
        loaded = LoadedVersion(served, backend, self._executor, size=size, now=self._now)
        replaced = self._loaded.pop(served.key, None)
        self._loaded[served.key] = loaded
        if replaced is not None:  # the same version with other limits
            self._move_routes(replaced, loaded)
            self._retire(replaced)
        self._make_room(loaded)
        return loaded

    def _make_room(self, newest: LoadedVersion) -> None:
        """Lets go of what was not asked for the longest time."""
        for loaded in self.loaded:
            held = sum(other.size for other in self._loaded.values())
            if len(self._loaded) <= self._limits.max_loaded and held <= self._limits.max_bytes:
                return
            if loaded is not newest:
                self._forget_routes(loaded)
                self._retire(loaded)

    def _let_go_if_unused(self, loaded: LoadedVersion) -> None:
        if all(route.loaded is not loaded for route in self._routes.values()):
            self._retire(loaded)

    def _retire(self, loaded: LoadedVersion) -> None:
        if self._loaded.get(loaded.served.key) is loaded:
            del self._loaded[loaded.served.key]
        self._spawn(loaded.close())

    def _touch(self, loaded: LoadedVersion) -> None:
        if (present := self._loaded.pop(loaded.served.key, None)) is not None:
            self._loaded[loaded.served.key] = present

    def _forget_routes(self, loaded: LoadedVersion) -> None:
        for asked in [asked for asked, route in self._routes.items() if route.loaded is loaded]:
            del self._routes[asked]

    def _move_routes(self, old: LoadedVersion, new: LoadedVersion) -> None:
        for route in self._routes.values():
            if route.loaded is old:
                route.loaded = new

    def _check_taken_out(self, served: ServedVersion) -> None:
        if self.is_taken_out(served):
            raise ModelTakenOut(f"the model {served.name!r} was unloaded: load it first (RepositoryModelLoad)")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
