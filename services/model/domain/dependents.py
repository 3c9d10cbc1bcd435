"""What rests on which dataset."""

from __future__ import annotations

from services.model.domain.run import Run
from services.model.domain.run_ports import Datasets


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
