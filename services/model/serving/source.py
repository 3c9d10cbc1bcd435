"""The registry as serving sees it: names and aliases become versions, and files are read whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.model.domain.registry.errors import AliasNotFound, ModelNotFound, VersionNotFound, version_not_found
from services.model.domain.registry.model import Model, ServingOptions
from services.model.domain.registry.ports import Blobs, ModelQuery, ModelStore
from services.model.domain.registry.version import ModelVersion
from services.model.domain.serving.versions import BatchLimits, ServedVersion, TensorSpec
from services.model.serving.backends import ModelNotLoadable

CHAMPION = "champion"
MAX_DIGITS = 9
MAX_FILE_BYTES = 2 * 1024**3  # ONNX files cannot be larger


class RegistrySource:
    """A VersionSource."""

    def __init__(self, store: ModelStore, blobs: Blobs) -> None:
        self._store, self._blobs = store, blobs

    async def resolve(self, tenant_id: str, model: str, version: str) -> ServedVersion:
        """See VersionSource."""
        found = await self._store.find(tenant_id, model)
        number = _number(found, version)
        return _served(found, await self._store.version(tenant_id, found.model_id, number))

    async def fetch(self, version: ServedVersion, name: str) -> bytes:
        """See VersionSource. Raises FileNotInVersion, and ModelNotLoadable for a file that is too large."""
        stored = await self._store.version(version.tenant_id, version.model_id, version.version)
        file = stored.file(name)
        if file.size > MAX_FILE_BYTES:
            raise ModelNotLoadable(f"{name} has {file.size} bytes: at most {MAX_FILE_BYTES} can be served")
        content = bytearray()
        async for chunk in self._blobs.get(file.blob):
            content += chunk
        return bytes(content)

    async def listed(self, tenant_id: str, *, most: int) -> Sequence[ServedVersion]:
        """See VersionSource."""
        served: list[ServedVersion] = []
        for model in await self._store.list(tenant_id, ModelQuery(limit=most)):
            for number in sorted({*model.aliases.values(), model.latest_version} - {0}):
                try:
                    version = _served(model, await self._store.version(tenant_id, model.model_id, number))
                except (ModelNotFound, VersionNotFound, ModelNotLoadable):  # deleted meanwhile, or not to be served
                    continue
                served.append(version)
                if len(served) == most:
                    return served
        return served

    async def versions(self, tenant_id: str, model_id: str, *, most: int) -> Sequence[int]:
        """See VersionSource."""
        found = await self._store.versions(tenant_id, model_id, limit=most, before=None)
        return [version.version for version in found]


def _number(model: Model, version: str) -> int:
    """0 stands for the latest."""
    if not version:
        return model.aliases.get(CHAMPION, 0)
    if version.isascii() and version.isdecimal():
        if len(version) > MAX_DIGITS:
            raise version_not_found(model.model_id, int(version[:MAX_DIGITS]))
        return int(version)
    if version not in model.aliases:
        raise AliasNotFound(
            f"nothing holds the alias {version[:80]!r} of model {model.text.name!r}; name a version number or one of: "
            f"{', '.join(sorted(model.aliases)) or 'none'}",
            modelId=model.model_id,
            alias=version[:80],
        )
    return model.aliases[version]


def _served(model: Model, version: ModelVersion) -> ServedVersion:
    signature = version.content.signature
    return ServedVersion(
        tenant_id=model.tenant_id,
        model_id=model.model_id,
        name=model.text.name,
        version=version.version,
        input=_spec(signature, "inputs"),
        output=_spec(signature, "outputs"),
        classes=tuple(signature.get("classes", ())),
        limits=_limits(model.text.serving),
    )


def _spec(signature: Mapping[str, Any], side: str) -> TensorSpec:
    if not (tensors := signature.get(side)):
        raise ModelNotLoadable("the version has no signature: nothing says what goes in and what comes out")
    tensor = tensors[0]
    # 64-bit numbers are texts in JSON.
    return TensorSpec(
        name=tensor["name"], datatype=tensor["datatype"], shape=tuple(int(size) for size in tensor["shape"])
    )


def _limits(options: ServingOptions) -> BatchLimits:
    defaults = BatchLimits()
    return BatchLimits(
        max_rows=options.max_batch_size or defaults.max_rows,
        max_delay_s=(options.max_delay_us or 0) / 1_000_000,
        max_queue=options.max_queue or defaults.max_queue,
    )
