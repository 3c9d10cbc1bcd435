"""A pipeline: steps in order, and the columns that say which rows belong together and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from automesh.core.errors import ValidationError
from services.data.domain.pipeline.columns import check_column_name
from services.data.domain.pipeline.steps import (
    CastStep,
    DropStep,
    ResampleStep,
    SelectStep,
    SplitMethod,
    SplitStep,
    Step,
    WindowStep,
)

MAX_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What is done to rows. Raises ValidationError whose field names the step, as `pipeline.steps[2].fill.value`."""

    steps: Sequence[Step] = ()
    series_column: str = ""
    time_column: str = ""

    def __post_init__(self) -> None:
        if len(self.steps) > MAX_STEPS:
            _refuse("pipeline.steps", f"{len(self.steps)} steps are more than {MAX_STEPS}")
        for name in ("series_column", "time_column"):
            if value := getattr(self, name):
                check_column_name(value, field=f"pipeline.{name}")
        if self.series_column and self.series_column == self.time_column:
            _refuse("pipeline.time_column", f"{self.time_column!r} is the series column already")
        for path, step in self.numbered():
            step.check(path)
            self._check_place(path, step)
        self._check_split_and_window()

    def numbered(self) -> Iterator[tuple[str, Step]]:
        """Every step with its path, as `pipeline.steps[2].fill`."""
        for number, step in enumerate(self.steps):
            yield f"pipeline.steps[{number}].{step.kind}", step

    @property
    def window(self) -> WindowStep | None:
        """How series are cut; None where they are not."""
        return next((step for step in self.steps if isinstance(step, WindowStep)), None)

    @property
    def split(self) -> SplitStep | None:
        """How rows are divided; None where they are not."""
        return next((step for step in self.steps if isinstance(step, SplitStep)), None)

    def split_method(self, split: SplitStep) -> SplitMethod:
        """The method of a split, where it leaves that to the columns."""
        return split.method or (SplitMethod.SERIES if self.series_column else SplitMethod.TIME)

    def _check_place(self, path: str, step: Step) -> None:
        keys = [name for name in (self.series_column, self.time_column) if name]
        if isinstance(step, DropStep) and (lost := [name for name in keys if name in step.columns]):
            _refuse(f"{path}.columns", f"{lost[0]!r} is the series or time column: it cannot be left out")
        if isinstance(step, SelectStep) and (lost := [name for name in keys if name in step.rename]):
            _refuse(f"{path}.rename", f"{lost[0]!r} is the series or time column: it keeps its name")
        if isinstance(step, CastStep) and (lost := [name for name in keys if name in step.types and step.lenient]):
            _refuse(f"{path}.lenient", f"{lost[0]!r} is the series or time column: it cannot become null")
        if isinstance(step, ResampleStep) and not self.time_column:
            _refuse(path, "needs a time column: set pipeline.time_column")

    def _check_split_and_window(self) -> None:
        for kind in (SplitStep, WindowStep):
            paths = [path for path, step in self.numbered() if isinstance(step, kind)]
            if len(paths) > 1:
                _refuse(paths[1], "there is one already: a pipeline has one at most")
        for path, step in self.numbered():
            if isinstance(step, SplitStep):
                self._check_split(path, self.split_method(step))

    def _check_split(self, path: str, method: SplitMethod) -> None:
        if method is SplitMethod.SERIES and not self.series_column:
            _refuse(f"{path}.method", "by series needs a series column: set pipeline.series_column")
        if method is SplitMethod.RANDOM and self.window:
            _refuse(
                f"{path}.method",
                "single rows at random leave no whole windows: split by series or by time, or cut no windows",
            )


def _refuse(field: str, what: str) -> NoReturn:
    raise ValidationError(f"{field}: {what}", field=field)
