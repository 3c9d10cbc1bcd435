"""What a training is to do, checked here, so that no invalid spec exists. Zero and empty have become defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from automesh.core.errors import ValidationError
from services.model.domain import bounds
from services.model.domain.alias import check_alias
from services.model.domain.training.architecture import Architecture, Lstm
from services.model.domain.training.objective import Objective, ObjectiveKind
from services.model.domain.training.optimization import Optimization
from services.model.domain.training.resources import Checkpointing, Resources

MAX_NAME = 200
MAX_DESCRIPTION = 4096
MAX_COLUMNS = 4096
MAX_WINDOW = 1_000_000
MAX_ALIASES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """The data of a training. 0 and empty mean: as the dataset has it."""

    data_id: str
    version: int = 0
    features: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    window: int = 0
    stride: int = 0
    horizon: int = 0

    def __post_init__(self) -> None:
        path = "spec.data"
        if not self.data_id:
            raise ValidationError(f"{path}.data_id is empty: which dataset is to be learned?", field=f"{path}.data_id")
        bounds.text(self.data_id, 100, field=f"{path}.data_id")
        bounds.within(self.version, 0, 2**31 - 1, field=f"{path}.version")
        bounds.names(self.features, MAX_COLUMNS, field=f"{path}.features")
        bounds.names(self.targets, MAX_COLUMNS, field=f"{path}.targets")
        bounds.within(self.window, 0, MAX_WINDOW, field=f"{path}.window")
        bounds.within(self.stride, 0, MAX_WINDOW, field=f"{path}.stride")
        bounds.within(self.horizon, 0, MAX_WINDOW, field=f"{path}.horizon")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """The definition of a training."""

    data: TrainingData
    model_id: str = ""
    name: str = ""
    description: str = ""
    architecture: Architecture = field(default_factory=Lstm)
    objective: Objective = field(default_factory=Objective)
    optimization: Optimization = field(default_factory=Optimization)
    resources: Resources = field(default_factory=Resources)
    checkpointing: Checkpointing = field(default_factory=Checkpointing)
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        bounds.text(self.model_id, 100, field="spec.model_id")
        bounds.text(self.name, MAX_NAME, field="spec.name")
        bounds.text(self.description, MAX_DESCRIPTION, field="spec.description")
        if not self.model_id and not self.name.strip():
            raise ValidationError(
                "spec.name is empty: a new model needs a name (or set spec.model_id)", field="spec.name"
            )
        bounds.within(self.seed, -(2**63), 2**63 - 1, field="spec.seed")
        bounds.pairs(dict(self.tags), field="spec.tags")
        self._check_aliases()
        self._check_targets()

    def _check_aliases(self) -> None:
        bounds.names(self.aliases, MAX_ALIASES, field="spec.aliases")
        for alias in self.aliases:
            check_alias(alias, field="spec.aliases")

    def _check_targets(self) -> None:
        kind, targets = self.objective.kind, self.data.targets
        if kind is ObjectiveKind.CLASSIFICATION and len(targets) != 1:
            raise ValidationError(
                f"spec.data.targets: classification learns exactly one column, not {len(targets)}",
                field="spec.data.targets",
            )
        if kind is ObjectiveKind.REGRESSION and not targets:
            raise ValidationError(
                "spec.data.targets is empty: regression needs at least one column to learn", field="spec.data.targets"
            )
        if kind is ObjectiveKind.ANOMALY and self.data.window == 1:
            raise ValidationError(
                "spec.data.window is 1: anomaly foretells the last row of a window from those before it: take 2",
                field="spec.data.window",
            )
