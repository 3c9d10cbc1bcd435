"""The registry: models and their versions. Aliases and gates are the matter of `Promotion`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from automesh.core.errors import ValidationError
from services.model.domain.alias import check_alias
from services.model.domain.pages import cut
from services.model.domain.registry.errors import ModelHasAliases, model_trains
from services.model.domain.registry.model import Model, ModelText, check_description, check_name
from services.model.domain.registry.moves import AliasMove, check_reason
from services.model.domain.registry.ports import Blobs, Deletion, ModelQuery, ModelStore
from services.model.domain.registry.promotion import Promotion
from services.model.domain.registry.version import ModelFile, ModelVersion, NewVersion

MAX_ALIASES_ASKED = 20
READ_CHUNK = 256 * 1024


class Registry:
    """What people and runs may do with models."""

    def __init__(self, store: ModelStore, blobs: Blobs, promotion: Promotion, *, make_id: Callable[[str], str]) -> None:
        self._store = store
        self._blobs = blobs
        self._promotion = promotion
        self._make_id = make_id

    # ------------------------------------------------------------------ for runs
    async def open_model(self, tenant_id: str, *, model_id: str, name: str, description: str, created_by: str) -> str:
        """The model that a training names by `model_id`, or a new one called `name`; returns its id.

        Raises ModelNotFound, ModelNameTaken, ValidationError.
        """
        if model_id:
            return (await self._store.get(tenant_id, model_id)).model_id
        check_name(name, field="spec.name")
        check_description(description, field="spec.description")
        text = ModelText(name=name, description=description)
        return (await self._store.create(self._make_id("model"), tenant_id, text, created_by)).model_id

    async def add_version(
        self,
        tenant_id: str,
        model_id: str,
        run_id: str,
        new: NewVersion,
        *,
        aliases: Sequence[str] = (),
        holder: str = "",
    ) -> int:
        """Registers what a run left behind; returns the version. The same run may say it again.

        `aliases` are remembered with it: each moves if its gates pass, now or (the answer takes long) soon. Raises
        ModelNotFound, RunTokenStale unless `holder` (empty: not asked) holds the run still, and for more than
        MAX_ALIASES_ASKED or malformed ones ValidationError.
        """
        _check_aliases(aliases)
        version = await self._store.add_version(tenant_id, model_id, run_id, new, aliases, holder=holder)
        if aliases:
            await self._promotion.settle_soon(model_id)
        return version.version

    async def version_of_run(self, tenant_id: str, run_id: str) -> ModelVersion | None:
        """The version that came of a run."""
        return await self._store.version_of_run(tenant_id, run_id)

    # ------------------------------------------------------------------ for people
    async def get(self, tenant_id: str, model_id: str) -> Model:
        """Raises ModelNotFound."""
        return await self._store.get(tenant_id, model_id)

    async def list(self, tenant_id: str, query: ModelQuery) -> tuple[Sequence[Model], Model | None]:
        """A page of models, the latest change first, and its last one if more follow."""
        return cut(await self._store.list(tenant_id, replace(query, limit=query.limit + 1)), query.limit)

    async def update(self, tenant_id: str, model_id: str, text: ModelText) -> Model:
        """Replaces what people may write. Raises ModelNotFound, ModelNameTaken."""
        return await self._store.change(tenant_id, model_id, lambda model: model.edit(text))

    async def delete(self, tenant_id: str, model_id: str, *, force: bool, reason: str) -> None:
        """Deletes a model with versions, runs and files. Raises ModelTrains, and ModelHasAliases without `force`."""
        check_reason(reason, field="reason")
        if force and not reason.strip():
            raise ValidationError("with force a reason is needed: why may it go although it is used?", field="reason")
        await self._store.delete(tenant_id, model_id, lambda deletion: _allow(deletion, force=force))

    async def version(self, tenant_id: str, model_id: str, version: int) -> ModelVersion:
        """0 is the latest. Raises ModelNotFound, VersionNotFound."""
        return await self._store.version(tenant_id, model_id, _checked(version))

    async def versions(
        self, tenant_id: str, model_id: str, *, limit: int, before: int | None
    ) -> tuple[Sequence[ModelVersion], ModelVersion | None]:
        """A page of versions, the newest first, and its last one if more follow."""
        return cut(await self._store.versions(tenant_id, model_id, limit=limit + 1, before=before), limit)

    async def moves(
        self, tenant_id: str, model_id: str, *, limit: int, before: str | None
    ) -> tuple[Sequence[AliasMove], AliasMove | None]:
        """A page of moves, the latest first, and its last one if more follow."""
        return cut(await self._store.moves(tenant_id, model_id, limit=limit + 1, before=before), limit)

    async def export(
        self, tenant_id: str, model_id: str, version: int, name: str
    ) -> tuple[ModelFile, AsyncIterator[bytes]]:
        """A file of a version and its bytes in chunks of at most READ_CHUNK. Raises FileNotInVersion."""
        file = (await self.version(tenant_id, model_id, version)).file(name)
        return file, _sliced(self._blobs.get(file.blob))


def _allow(deletion: Deletion, *, force: bool) -> None:
    model = deletion.model
    if deletion.trains:
        raise model_trains(model.model_id)
    if model.aliases and not force:
        held = ", ".join(f"{alias} (version {version})" for alias, version in sorted(model.aliases.items()))
        raise ModelHasAliases(
            f"aliases point at model {model.model_id}: {held}; remove them, or delete with force and a reason",
            modelId=model.model_id,
            aliases=", ".join(sorted(model.aliases)),
        )


def _checked(version: int) -> int:
    if version < 0:
        raise ValidationError(f"version {version} is negative; 0 means the latest", field="version")
    return version


def _check_aliases(aliases: Sequence[str]) -> None:
    if len(aliases) > MAX_ALIASES_ASKED:
        raise ValidationError(f"a version asks for at most {MAX_ALIASES_ASKED} aliases", field="spec.aliases")
    for alias in aliases:
        check_alias(alias, field="spec.aliases")


async def _sliced(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        for start in range(0, len(chunk), READ_CHUNK):
            yield chunk[start : start + READ_CHUNK]
