"""What rests on which dataset."""

from __future__ import annotations

from services.model.domain.runs.ports import Datasets
from services.model.domain.runs.run import Run


async def add_dependent(datasets: Datasets, run: Run) -> None:
    """Tells the data service that the model rests on its version. Safe to repeat."""
    await datasets.add_dependent(
        run.tenant_id,
        run.created_by,
        run.spec.data.data_id,
        run.spec.data.version,
        model_id=run.model_id,
        model_version=run.model_version,
    )
