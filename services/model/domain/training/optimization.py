"""How a model learns: batches, optimizer, schedule, precision, when to stop."""

from __future__ import annotations

from dataclasses import dataclass

from automesh.core.errors import ValidationError
from services.model.domain import bounds

OPTIMIZERS = frozenset({"adam", "adamw", "sgd"})
SCHEDULES = frozenset({"constant", "cosine", "one_cycle", "plateau"})
PRECISIONS = frozenset({"fp32", "bf16", "auto"})
MAX_EPOCHS = 1_000_000
MAX_BATCH = 1 << 20
_PATH = "spec.optimization"


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    """Stops a training whose metric does not get better; the best weights are kept."""

    metric: str = "val/loss"
    patience: int = 5
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        path = f"{_PATH}.early_stopping"
        bounds.text(self.metric, 100, field=f"{path}.metric")
        bounds.within(self.patience, 1, MAX_EPOCHS, field=f"{path}.patience")
        bounds.within(self.min_delta, 0, 1e12, field=f"{path}.min_delta")
        if not self.metric.startswith(("val/", "train/")):
            raise ValidationError(
                f"{path}.metric is {self.metric[:60]!r}, not one of val/... or train/...", field=f"{path}.metric"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """How a model learns."""

    epochs: int = 20
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    clip_norm: float = 0.0
    accumulate: int = 1
    precision: str = "auto"
    early_stopping: EarlyStopping | None = None

    def __post_init__(self) -> None:
        bounds.within(self.epochs, 1, MAX_EPOCHS, field=f"{_PATH}.epochs")
        bounds.within(self.batch_size, 1, MAX_BATCH, field=f"{_PATH}.batch_size")
        bounds.one_of(self.optimizer, OPTIMIZERS, field=f"{_PATH}.optimizer")
        bounds.positive(self.learning_rate, 1e6, field=f"{_PATH}.learning_rate")
        bounds.within(self.weight_decay, 0, 1e6, field=f"{_PATH}.weight_decay")
        bounds.one_of(self.schedule, SCHEDULES, field=f"{_PATH}.schedule")
        bounds.within(self.warmup_steps, 0, 1e9, field=f"{_PATH}.warmup_steps")
        bounds.within(self.clip_norm, 0, 1e12, field=f"{_PATH}.clip_norm")
        bounds.within(self.accumulate, 1, 65_536, field=f"{_PATH}.accumulate")
        bounds.one_of(self.precision, PRECISIONS, field=f"{_PATH}.precision")
        if self.schedule == "one_cycle" and self.warmup_steps:
            raise ValidationError(
                f"{_PATH}.warmup_steps: one_cycle has a warm-up of its own; set 0 or another schedule",
                field=f"{_PATH}.warmup_steps",
            )
