"""What ModelService.Predict asks of serving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Predicted(Protocol):
    """One output for each window, the label of each (classification), and the version that answered."""

    @property
    def outputs(self) -> Sequence[Any]:
        """Nested lists of numbers."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Empty unless the model tells classes apart."""
        ...

    @property
    def version(self) -> int:
        """Which version it was."""
        ...


class Predictor(Protocol):
    """Computes predictions."""

    async def predict(self, tenant_id: str, model: str, version: str, instances: Sequence[Sequence[Any]]) -> Predicted:
        """`model` is an id or a name; `version` a number, an alias, or empty: the champion, else the latest.

        `instances` are windows: lists of rows of numbers. Raises ModelNotFound, VersionNotFound, AliasNotFound,
        ValidationError for shapes that do not fit.
        """
        ...
