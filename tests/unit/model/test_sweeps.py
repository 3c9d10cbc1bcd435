"""Sweeps on fakes: grid, random and halving, through crashes and with two replicas."""

import asyncio
import json
import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import Unavailable, ValidationError
from automesh.model.v1 import run_service_pb2 as pb
from automesh.testing.blobs import FakeBlobStore
from services.model.convert.sweeps import new_sweep
from services.model.domain.runs.errors import DataDoesNotFit, RunRequestReused
from services.model.domain.runs.run import Run, RunState
from services.model.domain.runs.trainings import Order
from services.model.domain.sweeps import choices
from services.model.domain.sweeps.choices import Parameter
from services.model.domain.sweeps.sweep import NewSweep, Sweep, SweepMethod, first_trials, rounds
from services.model.fakes.neighbours import SUNSPOTS
from services.model.fakes.training_house import PERSON, SPEC, TENANT, TrainingHouse

RATE = "optimization.learning_rate"
SECOND = timedelta(seconds=1)


@pytest.fixture
def house() -> TrainingHouse:
    return TrainingHouse(FakeBlobStore())


def grid(house: TrainingHouse, *values: str, **changes: Any) -> NewSweep:
    parameters = choices.grid([Parameter(path=RATE, values=values)])
    new = NewSweep(spec=house.specs.read(SPEC), method=SweepMethod.GRID, parameters=tuple(parameters))
    return replace(new, **changes)


async def start(house: TrainingHouse, new: NewSweep, request_id: str = "") -> Sweep:
    return await house.sweeps.start(new, tenant_id=TENANT, subject=PERSON, request_id=request_id)


async def advance(house: TrainingHouse) -> None:
    house.time.advance(2)
    await house.sweeps.advance_due(every=SECOND)


async def finish(house: TrainingHouse, run: Run, value: float) -> None:
    claimed = await house.claim(run)
    await house.checkpoint(claimed.token, run.spec.optimization.epochs)
    await house.finish(claimed.token, **{"val/loss": value})


# ---------------------------------------------------------------------- values
def test_a_grid_has_every_combination() -> None:
    made = choices.grid([Parameter(path=RATE, values=("1", "2")), Parameter(path="seed", values=("3", "4", "5"))])
    assert len(made) == 6
    assert {tuple(each.values()) for each in made} == {(a, b) for a in "12" for b in "345"}


@given(st.integers(), st.integers(1, 50))
def test_draws_stay_in_their_range_and_repeat_with_the_seed(seed: int, trials: int) -> None:
    parameters = [
        Parameter(path=RATE, low=1e-5, high=1e-1, log=True),
        Parameter(path="architecture.lstm.hidden", low=8, high=128, integer=True),
        Parameter(path="seed", values=("1", "2")),
    ]
    made = choices.draws(parameters, trials, seed)
    assert made == choices.draws(parameters, trials, seed)
    for each in made:
        assert 1e-5 <= json.loads(each[RATE]) <= 1e-1
        hidden = json.loads(each["architecture.lstm.hidden"])
        assert isinstance(hidden, int)
        assert 8 <= hidden <= 128
        assert each["seed"] in {"1", "2"}


@pytest.mark.parametrize(
    "bad",
    [
        {"path": "name", "values": ("1",)},
        {"path": "data.data_id", "values": ('"x"',)},
        {"path": "data.dataId", "values": ('"x"',)},
        {"path": "architecture." + "a." * 20 + "b", "values": ("1",)},
        {"path": "architecture." + "a" * 200, "values": ("1",)},
        {"path": "architecture.plugin.config.x", "values": ("[" * 4000 + "]" * 4000,)},
        {"path": RATE, "values": (" " * 10_001,)},
        {"path": RATE},
        {"path": RATE, "low": 2, "high": 1},
        {"path": RATE, "low": 0, "high": 1, "log": True},
        {"path": RATE, "low": math.nan, "high": 1},
        {"path": RATE, "values": ("adam",)},
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Parameter(**bad)


def test_bounds_of_sweeps_are_held() -> None:
    many = Parameter(path=RATE, values=tuple(str(number) for number in range(1, 1000)))
    with pytest.raises(ValidationError, match="1998 combinations, more than 1000"):
        choices.grid([many, Parameter(path="seed", values=("1", "2"))])
    with pytest.raises(ValidationError, match="a grid needs values"):
        choices.grid([Parameter(path=RATE, low=0, high=1)])
    with pytest.raises(ValidationError, match="each path once"):
        choices.draws([many, many], 3, 0)
    with pytest.raises(ValidationError, match="trials is 1001"):
        choices.draws([many], 1001, 0)


def test_a_request_has_its_defaults() -> None:
    request = pb.StartSweepRequest(method=pb.SWEEP_METHOD_HALVING)
    request.spec.name = "x"
    request.spec.data.data_id = "data_1"
    request.spec.data.targets.append("a")
    request.parameters.add(path=RATE, values=["0.1", "0.2"])
    new = new_sweep(request)
    assert (new.method, len(new.parameters), new.max_parallel) == (SweepMethod.HALVING, 9, 2)
    assert new.metric == "val/loss"


# ---------------------------------------------------------------------- runs
async def test_so_many_runs_are_started_at_a_time_until_all_are_done(house: TrainingHouse) -> None:
    sweep = await start(house, grid(house, "0.1", "0.2", "0.3"))
    assert (sweep.state, sweep.waiting, house.store.runs) == (RunState.RUNNING, 3, {})
    await advance(house)
    first, second = await house.of_sweep(sweep.sweep_id)
    assert {each.spec.optimization.learning_rate for each in (first, second)} == {0.1, 0.2}
    await advance(house)
    assert len(house.store.runs) == 2
    await finish(house, first, 0.5)
    await advance(house)
    assert len(house.store.runs) == 3
    for run in (await house.of_sweep(sweep.sweep_id))[1:]:
        await finish(house, run, run.spec.optimization.learning_rate)
    await advance(house)
    seen = await house.sweeps.get(TENANT, sweep.sweep_id)
    assert (seen.state, seen.waiting) == (RunState.COMPLETED, 0)
    assert [each.value for each in seen.ranked()] == [0.2, 0.3, 0.5]
    assert all(run.checkpoints == () for run in house.store.runs.values())  # nothing goes on from them


async def test_more_may_be_better(house: TrainingHouse) -> None:
    sweep = await start(house, grid(house, "0.1", "0.2", metric="val/accuracy", higher_is_better=True))
    await advance(house)
    for run, value in zip(await house.of_sweep(sweep.sweep_id), (0.7, 0.9), strict=True):
        claimed = await house.claim(run)
        await house.finish(claimed.token, **{"val/accuracy": value})
    seen = await house.sweeps.get(TENANT, sweep.sweep_id)
    assert [each.value for each in seen.ranked()] == [0.9, 0.7]


async def test_a_trial_that_is_no_spec_is_refused_before_any_begins(house: TrainingHouse) -> None:
    for path, value, told in (
        (RATE, "-1", r"trial 0 \(optimization.learning_rate=-1\)"),
        ("optimization.speed", "1", "speed"),
        ("architecture.transformer.hidden", "63", "trial 0"),
    ):
        parameters = tuple(choices.grid([Parameter(path=path, values=(value,))]))
        with pytest.raises(ValidationError, match=told):
            await start(house, grid(house, "0.1", parameters=parameters))
    assert house.registry.models == {}


async def test_a_metric_that_no_part_can_give_is_refused(house: TrainingHouse) -> None:
    house.datasets.versions = (replace(SUNSPOTS, parts=SUNSPOTS.parts[:1]),)
    with pytest.raises(DataDoesNotFit, match="has only train"):
        await start(house, grid(house, "0.1"))
    await start(house, grid(house, "0.1", metric="train/loss"))


async def test_the_same_request_starts_one_sweep(house: TrainingHouse) -> None:
    first = await start(house, grid(house, "0.1"), "r1")
    assert (await start(house, grid(house, "0.1"), "r1")).sweep_id == first.sweep_id
    with pytest.raises(RunRequestReused):
        await start(house, grid(house, "0.2"), "r1")


async def test_two_replicas_start_each_run_once(house: TrainingHouse) -> None:
    sweep = await start(house, grid(house, "0.1", "0.2", "0.3", "0.4", max_parallel=4))
    await asyncio.gather(*(house.sweeps.advance(sweep) for _ in range(3)))
    assert len(await house.of_sweep(sweep.sweep_id)) == 4
    assert len(house.queue.tasks) == 4


async def test_after_a_crash_a_run_that_was_given_an_id_is_made(house: TrainingHouse) -> None:
    sweep = await start(house, grid(house, "0.1"))
    house.datasets.error = Unavailable("the service died here")
    await advance(house)
    named = (await house.sweep_store.get(TENANT, sweep.sweep_id)).trials[0].run_id
    assert named
    assert house.store.runs == {}
    house.datasets.error = None
    await advance(house)
    assert list(house.store.runs) == [named]


async def test_a_sweep_whose_runs_all_failed_has_failed(house: TrainingHouse) -> None:
    sweep = await start(house, grid(house, "0.1"))
    house.datasets.versions = ()  # deleted meanwhile: it can never start
    await advance(house)
    await advance(house)
    seen = await house.sweeps.get(TENANT, sweep.sweep_id)
    assert (seen.state, seen.trials[0].state) == (RunState.FAILED, RunState.FAILED)


async def test_cancelling_stops_the_runs_too(house: TrainingHouse) -> None:
    sweep = await start(house, grid(house, "0.1", "0.2", "0.3"))
    await advance(house)
    for _ in range(2):
        seen = await house.sweeps.cancel(TENANT, PERSON, sweep.sweep_id)
        assert (seen.state, seen.waiting) == (RunState.CANCELLED, 0)
    assert {run.state for run in house.store.runs.values()} == {RunState.CANCELLED}
    await advance(house)
    assert len(house.store.runs) == 2


async def test_a_run_that_is_made_while_its_sweep_is_cancelled_is_stopped(
    house: TrainingHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = await start(house, grid(house, "0.1", "0.2", "0.3", max_parallel=3))
    begin = house.trainings.start

    async def slowly(order: Order) -> Run:
        await house.sweeps.cancel(TENANT, PERSON, sweep.sweep_id)
        return await begin(order)

    monkeypatch.setattr(house.trainings, "start", slowly)
    await advance(house)
    assert [run.state for run in house.store.runs.values()] == [RunState.CANCELLED]
    seen = await house.sweeps.get(TENANT, sweep.sweep_id)
    assert {trial.state for trial in seen.trials} == {RunState.CANCELLED}


# ---------------------------------------------------------------------- halving
@given(st.integers(1, 1000), st.integers(1, 1000))
def test_halving_ends_with_one_and_never_asks_for_more_epochs_than_there_are(trials: int, epochs: int) -> None:
    made = first_trials(SweepMethod.HALVING, [{} for _ in range(trials)], epochs)
    assert len(made) == trials
    assert 1 <= made[0].epochs <= epochs
    left = trials
    for _ in range(rounds(trials) - 1):
        left = -(-left // 3)
    assert left == 1


async def test_the_best_third_goes_on_from_its_checkpoint_with_three_times_the_epochs(house: TrainingHouse) -> None:
    values = [f"0.{number}" for number in range(1, 10)]
    new = grid(house, *values, method=SweepMethod.HALVING, max_parallel=9)
    sweep = await start(house, new)
    await advance(house)
    first = await house.of_sweep(sweep.sweep_id)
    assert {run.spec.optimization.epochs for run in first} == {1}
    for run in first:
        await finish(house, run, run.spec.optimization.learning_rate)
    await advance(house)
    second = (await house.of_sweep(sweep.sweep_id))[9:]
    assert [run.spec.optimization.learning_rate for run in second] == [0.1, 0.2, 0.3]
    assert {run.spec.optimization.epochs for run in second} == {3}
    claimed = await house.claim(second[0])
    assert claimed.checkpoint is not None
    before = await house.trainings.get(TENANT, first[0].run_id)
    assert claimed.checkpoint == before.checkpoints[-1]
    assert await house.read(claimed.token, "state.json") == b"weightsstate.json"
    await house.finish(claimed.token, **{"val/loss": 0.05})
    for run in second[1:]:
        await finish(house, run, run.spec.optimization.learning_rate)
    await advance(house)
    [third] = (await house.of_sweep(sweep.sweep_id))[12:]
    assert (third.spec.optimization.epochs, third.origin) == (9, second[0].run_id)
    await finish(house, third, 0.01)
    await advance(house)
    seen = await house.sweeps.get(TENANT, sweep.sweep_id)
    assert (seen.state, seen.ranked()[0].run_id, seen.ranked()[0].round) == (RunState.COMPLETED, third.run_id, 2)
