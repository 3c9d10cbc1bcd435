"""Messages of sweeps and the domain."""

from __future__ import annotations

from automesh.core.errors import ValidationError
from automesh.model.v1 import run_pb2
from automesh.model.v1 import run_service_pb2 as pb
from services.model.convert.runs import STATE
from services.model.convert.spec import training_spec
from services.model.domain.runs.run import RunState
from services.model.domain.sweeps import choices
from services.model.domain.sweeps.choices import Parameter
from services.model.domain.sweeps.sweep import NewSweep, Sweep, SweepMethod, Trial

DEFAULT_TRIALS, DEFAULT_PARALLEL = 9, 2
_METHOD = {
    pb.SWEEP_METHOD_UNSPECIFIED: SweepMethod.GRID,
    pb.SWEEP_METHOD_GRID: SweepMethod.GRID,
    pb.SWEEP_METHOD_RANDOM: SweepMethod.RANDOM,
    pb.SWEEP_METHOD_HALVING: SweepMethod.HALVING,
}


def new_sweep(request: pb.StartSweepRequest) -> NewSweep:
    """What is asked for, with its trials drawn. Raises ValidationError with the path of what is wrong."""
    if request.method not in _METHOD:
        raise ValidationError(f"method {request.method} means nothing here", field="method")
    method = _METHOD[request.method]
    parameters = [_parameter(each) for each in request.parameters]
    if method is SweepMethod.GRID:
        values = choices.grid(parameters)
    else:
        values = choices.draws(parameters, request.trials or DEFAULT_TRIALS, request.seed)
    return NewSweep(
        spec=training_spec(request.spec),
        method=method,
        parameters=tuple(values),
        max_parallel=request.max_parallel or DEFAULT_PARALLEL,
        metric=request.metric or "val/loss",
        higher_is_better=request.higher_is_better,
    )


def sweep(sweep: Sweep) -> pb.Sweep:
    """The message of a sweep."""
    return pb.Sweep(
        sweep_id=sweep.sweep_id,
        model_id=sweep.model_id,
        state=_state(sweep.state),
        waiting=sweep.waiting,
        runs=[_trial(each) for each in sweep.ranked()],
        metric=sweep.metric,
    )


def _parameter(message: pb.SweepParameter) -> Parameter:
    return Parameter(
        path=message.path,
        values=tuple(message.values),
        low=message.min,
        high=message.max,
        log=message.log,
        integer=message.integer,
    )


def _trial(trial: Trial) -> pb.SweepRun:
    return pb.SweepRun(
        run_id=trial.run_id,
        state=_state(trial.state),
        value=trial.value,
        parameters=dict(trial.parameters),
        round=trial.round,
    )


def _state(state: RunState) -> run_pb2.RunState.ValueType:
    return STATE[state]
