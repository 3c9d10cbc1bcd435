"""Predictions for ModelService.Predict: plain lists in, plain lists out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.model.domain.serving.versions import ServedVersion
from services.model.serving.model_pool import ModelPool
from services.model.serving.tensors import GivenTensor, array_of, flat, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ROWS = 1024
MAX_VALUES = 4_000_000


@dataclass(frozen=True, slots=True)
class Prediction:
    """One output a window, the label of each (classification), and the version that answered."""

    outputs: list[Any]
    labels: list[str]
    version: int


class PoolPredictor:
    """Predicts with the versions in memory."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool

    async def predict(self, tenant_id: str, model: str, version: str, instances: Sequence[Sequence[Any]]) -> Prediction:
        """`instances`: windows of rows of numbers. `version`: a number, an alias, or empty."""
        values = flat(list(instances), most=MAX_VALUES)

        def rows_for(served: ServedVersion) -> NDArray[np.float32]:
            given = GivenTensor(
                name=served.input.name,
                datatype=served.input.datatype,
                shape=_shape(instances),
                values=values,
            )
            return array_of([given], served.input, max_rows=MAX_ROWS)

        served, outputs = await self._pool.infer(tenant_id, model, version, rows_for)
        labels = [served.classes[best] for best in outputs.argmax(axis=-1)] if served.classes else []
        return Prediction(plain(outputs).tolist(), labels, served.version)


def _shape(instances: Sequence[Any]) -> tuple[int, ...]:
    """The sizes that the first elements tell; ragged lists fail by their number of values."""
    sizes: list[int] = []
    level: Any = instances
    while isinstance(level, list | tuple):
        sizes.append(len(level))
        if not level:
            break
        level = level[0]
    return tuple(sizes)
