"""The loop: epochs of steps, each epoch measured, the best weights kept, every end foreseen."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from torch import Tensor

from automesh.core.errors import ValidationError
from services.model.domain.training.errors import PartMissing, TrainingDiverged
from services.model.domain.training.spec import TrainingSpec
from services.model.trainer.data.dataset import Dataset
from services.model.trainer.data.manifest import TRAIN
from services.model.trainer.data.sampler import Sampler
from services.model.trainer.learning.assembly import Assembly
from services.model.trainer.learning.evaluation import measure
from services.model.trainer.learning.meter import Meter
from services.model.trainer.learning.schedule import rate
from services.model.trainer.learning.tally import higher_is_better, metric_names, tally_for
from services.model.trainer.ranks import Ranks
from services.model.trainer.reporter import Reporter
from services.model.trainer.state import weights
from services.model.trainer.state.saver import Saver
from services.model.trainer.state.state import Best, State
from services.model.trainer.stopping import Stopped, Stopping

EVALUATION_BATCH = 256
_GO_ON, _STOP, _DIVERGED = 0, 1, 2


class Loop:
    """One process's part in a training."""

    def __init__(
        self,
        spec: TrainingSpec,
        dataset: Dataset,
        assembly: Assembly,
        state: State,
        best: Mapping[str, Tensor] | None,
        *,
        ranks: Ranks,
        reporter: Reporter,
        saver: Saver,
        stopping: Stopping,
    ) -> None:
        """`best` are the best weights so far, where `state` knows of some."""
        self._spec, self._dataset, self._assembly = spec, dataset, assembly
        self.state, self.best = state, best
        self._ranks, self._reporter = ranks, reporter
        self._saver, self._stopping = saver, stopping
        place, plan = ranks.place, spec.optimization
        self._sampler = Sampler(len(dataset.parts[TRAIN]), spec.seed, rank=place.rank, ranks=place.world)
        batches = -(-self._sampler.share // plan.batch_size)
        self._steps = -(-batches // plan.accumulate) * plan.epochs
        self._meter = Meter(reporter, assembly.stepping, epochs=plan.epochs, steps=self._steps, ranks=place.world)
        self._watched = watched_metric(spec, dataset)

    def run(self) -> None:
        """To the end. Raises Stopped (a checkpoint is on disk then) or TrainingDiverged."""
        self.state.finished = self._is_over()  # a training that goes on may have been given more epochs
        while not self.state.finished:
            began = time.monotonic()
            here = self.state.windows
            self._train_epoch()
            seconds = max(time.monotonic() - began, 1e-9)
            self._end_epoch((self.state.windows - here) * self._ranks.place.world / seconds, began)
        self._saver.settle()

    def _train_epoch(self) -> None:
        state, plan, stepping = self.state, self._spec.optimization, self._assembly.stepping
        batches = self._sampler.order(state.epoch).to(stepping.losses.device).split(plan.batch_size)
        self._assembly.network.train()
        self._meter.begin_epoch(state)
        for first in range(state.batch, len(batches), plan.accumulate):
            group = batches[first : first + plan.accumulate]
            stepping.step(group, rate(plan, state.step, self._steps, state.plateau))
            state.step += 1
            state.batch = first + len(group)
            state.windows += sum(len(numbers) for numbers in group)
            self._between_steps(last=state.batch >= len(batches))

    def _between_steps(self, *, last: bool) -> None:
        state = self.state
        verdict = _STOP if self._stopping.wanted else _GO_ON
        if self._meter.stepped() and not self._meter.read(state, self._rate()):
            verdict = _DIVERGED
        self._reporter.alive()
        self._saver.settle(wait=False)
        verdict = self._ranks.highest(verdict)
        if verdict == _DIVERGED:
            raise self._diverged()
        if verdict == _STOP:
            self._save()
            self._saver.settle()
            raise Stopped
        if not last and self._saver.due_in_epoch(state.step):
            self._save()

    def _end_epoch(self, speed: float, began: float) -> None:
        state = self.state
        values = {"train/loss": self._train_loss()} | self._measure()
        if not math.isfinite(values["train/loss"]) or not math.isfinite(values.get("val/loss", 0.0)):
            raise self._diverged()
        current = self._rate()
        state.epoch += 1
        state.batch, state.windows, state.loss_sum = 0, 0, 0.0
        self._assembly.stepping.losses.zero_()
        self._judge(values)
        values |= {"lr": current, "samples_per_second": speed, "epoch_seconds": time.monotonic() - began}
        state.remember(self._meter.say(values, state, state.epoch))
        self._reporter.progress(
            state.epoch / self._spec.optimization.epochs, f"epoch {state.epoch} of {self._spec.optimization.epochs}"
        )
        if state.finished or self._saver.due_after(state.epoch, state.step):
            self._save()

    def _judge(self, values: Mapping[str, float]) -> None:
        """Best weights, early stopping, plateau."""
        state, early = self.state, self._spec.optimization.early_stopping
        value, sign = values[self._watched], -1.0 if higher_is_better(self._watched) else 1.0
        if state.best is None or sign * value < sign * state.best.value:
            state.best = Best(self._watched, value, state.step, state.epoch)
            self.best = weights.network_tensors(self._assembly.network)
        if state.mark is None or sign * value < sign * state.mark - (early.min_delta if early else 0.0):
            state.mark, state.stale = value, 0
        else:
            state.stale += 1
        state.plateau.see(values.get("val/loss", values["train/loss"]))
        state.finished = self._is_over()

    def _is_over(self) -> bool:
        plan = self._spec.optimization
        out_of_patience = plan.early_stopping is not None and self.state.stale >= plan.early_stopping.patience
        return out_of_patience or self.state.epoch >= plan.epochs

    def _train_loss(self) -> float:
        sums = self._assembly.stepping.losses.new_zeros(2)
        sums[0], sums[1] = self._assembly.stepping.losses, self.state.windows
        self._ranks.add_up(sums)
        return float(sums[0] / sums[1])

    def _measure(self) -> dict[str, float]:
        """The watched part, divided among the processes unless the network itself is."""
        name, place = self._dataset.watched, self._ranks.place
        if not name:
            return {}
        alone = place.world == 1 or self._spec.resources.strategy == "fsdp"
        windows = self._dataset.parts[name]
        device = windows.starts.device
        tally = measure(
            self._assembly.network,
            windows,
            self._assembly.criterion,
            tally_for(self._spec.objective.kind, self._dataset.shape.outputs, device),
            batch=max(self._spec.optimization.batch_size, EVALUATION_BATCH),
            precision=self._assembly.precision,
            moved=self._reporter.alive,
            first=0 if alone else place.rank,
            ranks=1 if alone else place.world,
        )
        if not alone:
            self._ranks.add_up(tally.sums)
        return {f"val/{name}": value for name, value in tally.metrics().items()}

    def _save(self) -> None:
        if self._ranks.highest(not weights.all_finite(self._assembly.network)):
            raise self._diverged()
        self._saver.save(self.state, self._assembly, self.best)

    def _rate(self) -> float:
        return rate(self._spec.optimization, max(self.state.step - 1, 0), self._steps, self.state.plateau)

    def _diverged(self) -> TrainingDiverged:
        state, plan = self.state, self._spec.optimization
        self._saver.settle()
        last = self._saver.last_step
        kept = (
            "there are no good weights to keep"
            if last is None
            else f"the checkpoint of step {last} has the last good weights"
        )
        return TrainingDiverged(
            f"the loss or a weight is no longer a number at step {state.step} (epoch {state.epoch + 1}); {kept}. "
            f"Take a smaller spec.optimization.learning_rate than {plan.learning_rate:g}, set clip_norm"
            f"{'' if plan.clip_norm else ' (for example 1)'} or warmup_steps, and look for outliers in the data"
        )


def watched_metric(spec: TrainingSpec, dataset: Dataset) -> str:
    """What decides which weights are the best. Raises PartMissing or ValidationError for a metric that never comes."""
    early = spec.optimization.early_stopping
    if early is None:
        return "val/loss" if dataset.watched else "train/loss"
    path = "spec.optimization.early_stopping.metric"
    if early.metric.startswith("val/") and not dataset.watched:
        raise PartMissing(
            f"{path} is {early.metric!r}, but the dataset has neither a validation nor a test part with windows: "
            "add a split step to its pipeline, or watch 'train/loss'"
        )
    known = {"train/loss", *(f"val/{name}" for name in metric_names(spec.objective.kind))}
    if early.metric not in known:
        raise ValidationError(f"{path} is {early.metric[:60]!r}, not one of {', '.join(sorted(known))}", field=path)
    return early.metric
