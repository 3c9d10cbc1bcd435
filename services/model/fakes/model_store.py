"""A ModelStore and AliasRequests in memory, held to the same contract as the ones in SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from automesh.core.clock import Clock
from services.model.domain.registry.errors import (
    AliasNotFound,
    model_name_taken,
    model_not_found,
    version_not_found,
)
from services.model.domain.registry.model import Model, ModelText
from services.model.domain.registry.moves import AliasMove, AliasRequest, Basis, NewMove
from services.model.domain.registry.ports import BasisChanged, Deletion, ModelQuery
from services.model.domain.registry.version import ModelVersion, NewVersion
from services.model.domain.webhooks import events
from services.model.domain.webhooks.events import Event

Announce = Callable[[str, Event], Awaitable[None]]


class FakeModelStore:
    """`live` names the models that train; what webhooks are to be told goes to `announce`, and into `announced`."""

    def __init__(self, now: Clock, *, announce: Announce | None = None) -> None:
        self._now = now
        self._announce = announce
        self._models: dict[str, Model] = {}
        self._versions: dict[str, list[ModelVersion]] = {}
        self._moves: dict[str, list[AliasMove]] = {}
        self._requests: dict[tuple[str, int, str], tuple[AliasRequest, datetime]] = {}
        self.live: set[str] = set()
        self.announced: list[tuple[str, Event]] = []
        self.discarded: list[str] = []
        self.released: list[tuple[str, str]] = []

    # ------------------------------------------------------------------ models
    async def create(self, model_id: str, tenant_id: str, text: ModelText, created_by: str) -> Model:
        """Or the one of that name that is still empty."""
        found = self._named(tenant_id, text.name)
        if found is not None:
            if found.latest_version or found.model_id in self.live:
                raise model_name_taken(text.name, found.model_id)
            return found
        now = self._now()
        model = Model(
            model_id=model_id,
            tenant_id=tenant_id,
            text=text,
            created_by=created_by,
            created_at=now,
            updated_at=now,
        )
        self._models[model_id] = model
        self._versions[model_id], self._moves[model_id] = [], []
        return model

    async def get(self, tenant_id: str, model_id: str) -> Model:
        """Raises ModelNotFound."""
        model = self._models.get(model_id)
        if model is None or model.tenant_id != tenant_id:
            raise model_not_found(model_id)
        return model

    async def find(self, tenant_id: str, id_or_name: str) -> Model:
        """By id, else by name."""
        named = self._named(tenant_id, id_or_name)
        if named is None or id_or_name in self._models:
            return await self.get(tenant_id, id_or_name)
        return named

    async def list(self, tenant_id: str, query: ModelQuery) -> Sequence[Model]:
        """A page."""
        found = [model for model in self._models.values() if model.tenant_id == tenant_id and _wanted(model, query)]
        found.sort(key=lambda model: (model.updated_at, model.model_id), reverse=True)
        return found[: query.limit]

    async def change(self, tenant_id: str, model_id: str, change: Callable[[Model], Model]) -> Model:
        """Only the text can change so."""
        model = await self.get(tenant_id, model_id)
        text = change(model).text
        taken = self._named(tenant_id, text.name)
        if taken is not None and taken.model_id != model_id:
            raise model_name_taken(text.name, taken.model_id)
        return self._put(replace(model, text=text))

    async def delete(self, tenant_id: str, model_id: str, allow: Callable[[Deletion], None]) -> None:
        """With all that belongs to it."""
        model = await self.get(tenant_id, model_id)
        allow(Deletion(model=model, trains=model_id in self.live))
        self.discarded += [f"runs/{tenant_id}/{version.run_id}/" for version in self._versions[model_id]]
        self.released.append((tenant_id, model_id))
        await self._tell(tenant_id, events.model_deleted(model))
        for kept in (self._models, self._versions, self._moves):
            kept.pop(model_id, None)
        self._requests = {key: value for key, value in self._requests.items() if key[0] != model_id}

    # ------------------------------------------------------------------ versions
    async def add_version(
        self, tenant_id: str, model_id: str, run_id: str, new: NewVersion, aliases: Sequence[str], *, holder: str = ""
    ) -> ModelVersion:
        """The next one, once for each run; who holds the run is not known here."""
        model = await self.get(tenant_id, model_id)
        for version in self._versions[model_id]:
            if version.run_id == run_id:
                return self._pointed(version)
        number = model.latest_version + 1
        version = ModelVersion(
            tenant_id=tenant_id,
            model_id=model_id,
            version=number,
            run_id=run_id,
            content=new,
            created_at=self._now(),
        )
        self._versions[model_id].append(version)
        self._put(replace(model, latest_version=number))
        await self._tell(tenant_id, events.version_created(model, version))
        for request in (self._asked(version, alias) for alias in aliases):
            self._requests[_key(request)] = (request, self._now())
        return version

    async def version(self, tenant_id: str, model_id: str, version: int) -> ModelVersion:
        """0 is the latest."""
        model = await self.get(tenant_id, model_id)
        for each in self._versions[model_id]:
            if each.version == (version or model.latest_version):
                return self._pointed(each)
        raise version_not_found(model_id, version)

    async def version_of_run(self, tenant_id: str, run_id: str) -> ModelVersion | None:
        """One of all."""
        found = (each for versions in self._versions.values() for each in versions if each.run_id == run_id)
        return next((self._pointed(each) for each in found if each.tenant_id == tenant_id), None)

    async def versions(
        self, tenant_id: str, model_id: str, *, limit: int, before: int | None
    ) -> Sequence[ModelVersion]:
        """The newest first."""
        await self.get(tenant_id, model_id)
        found = [each for each in self._versions[model_id] if before is None or each.version < before]
        return [self._pointed(each) for each in reversed(found)][:limit]

    # ------------------------------------------------------------------ aliases
    async def move(self, tenant_id: str, model_id: str, move: NewMove) -> Model:
        """Only on the ground it was decided on."""
        model = await self.get(tenant_id, model_id)
        if move.basis is not None and move.basis != Basis.of(model, move.alias):
            raise BasisChanged
        held = model.aliases.get(move.alias, 0)
        if held == move.version:
            if not held:
                raise AliasNotFound(f"nothing holds {move.alias}")
            return model
        if move.version:
            await self.version(tenant_id, model_id, move.version)
        made = AliasMove(
            move_id=move.move_id,
            alias=move.alias,
            from_version=held,
            to_version=move.version,
            override_reason=move.override_reason,
            results=move.results,
            moved_by=move.moved_by,
            moved_at=self._now(),
        )
        self._moves[model_id].append(made)
        await self._tell(tenant_id, events.alias_moved(model, made))
        others = {alias: version for alias, version in model.aliases.items() if alias != move.alias}
        return self._put(replace(model, aliases=others | ({move.alias: move.version} if move.version else {})))

    async def moves(self, tenant_id: str, model_id: str, *, limit: int, before: str | None) -> Sequence[AliasMove]:
        """The latest first."""
        await self.get(tenant_id, model_id)
        found = [each for each in self._moves[model_id] if before is None or each.move_id < before]
        return sorted(found, key=lambda each: each.move_id, reverse=True)[:limit]

    # ------------------------------------------------------------------ requests
    async def take(self, *, limit: int, hold_for: timedelta, model_id: str = "") -> Sequence[AliasRequest]:
        """Those that are due."""
        taken: list[AliasRequest] = []
        for key, (request, due_at) in sorted(self._requests.items()):
            if due_at <= self._now() and model_id in {"", request.model_id} and len(taken) < limit:
                tried = replace(request, tries=request.tries + 1)
                self._requests[key] = (tried, self._now() + hold_for)
                taken.append(tried)
        return taken

    async def settle(self, request: AliasRequest) -> None:
        """Forgets it."""
        self._requests.pop(_key(request), None)

    async def _tell(self, tenant_id: str, event: Event) -> None:
        self.announced.append((tenant_id, event))
        if self._announce is not None:
            await self._announce(tenant_id, event)

    def _named(self, tenant_id: str, name: str) -> Model | None:
        found = (model for model in self._models.values() if model.tenant_id == tenant_id and model.text.name == name)
        return next(found, None)

    def _put(self, model: Model) -> Model:
        self._models[model.model_id] = replace(model, updated_at=self._now())
        return self._models[model.model_id]

    def _pointed(self, version: ModelVersion) -> ModelVersion:
        aliases = self._models[version.model_id].aliases
        return replace(version, aliases=tuple(sorted(a for a, number in aliases.items() if number == version.version)))

    @staticmethod
    def _asked(version: ModelVersion, alias: str) -> AliasRequest:
        return AliasRequest(
            tenant_id=version.tenant_id,
            model_id=version.model_id,
            version=version.version,
            alias=alias,
            requested_by=version.content.created_by,
        )


def _key(request: AliasRequest) -> tuple[str, int, str]:
    return request.model_id, request.version, request.alias


def _wanted(model: Model, query: ModelQuery) -> bool:
    if query.before is not None and (model.updated_at, model.model_id) >= query.before:
        return False
    if query.tag is not None and model.text.tags.get(query.tag[0]) != query.tag[1]:
        return False
    return query.name_contains.lower() in model.text.name.lower()
