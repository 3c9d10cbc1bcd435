"""Models that depend on versions, as the model service says."""

from __future__ import annotations

from automesh.core.errors import ValidationError
from services.data.domain.ports import LineageStore

_MOST = 2**31 - 1


class Dependents:
    """While a model depends on a version, its dataset is not deleted."""

    def __init__(self, lineage: LineageStore) -> None:
        self._lineage = lineage

    async def add(self, tenant_id: str, data_id: str, version: int, model_id: str, model_version: int) -> None:
        """Safe to repeat. Raises VersionNotFound for one that is not READY, ValidationError."""
        if not 1 <= version <= _MOST:
            raise ValidationError(f"version {version} is not from 1", field="version")
        if not model_id:
            raise ValidationError("model_id is empty", field="model_id")
        if not 1 <= model_version <= _MOST:
            raise ValidationError(f"model_version {model_version} is not from 1", field="model_version")
        await self._lineage.add_dependent(tenant_id, data_id, version, (model_id, model_version))

    async def remove(self, tenant_id: str, model_id: str, model_version: int) -> None:
        """A model is gone; version 0: all of it."""
        if not model_id or model_version < 0:
            raise ValidationError(
                "say which model is gone: model_id, and model_version from 1 (0: all)", field="model_id"
            )
        await self._lineage.remove_dependent(tenant_id, model_id, min(model_version, _MOST))
