"""Trainings as people start and follow them in a live stack: over HTTP, on data small enough to be quick."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from typing import Any

import httpx

from automesh.core.ids import new_id
from automesh.testing.live import until
from automesh.testing.people import Json, Person

ENDED = ("RUN_STATE_COMPLETED", "RUN_STATE_FAILED", "RUN_STATE_CANCELLED")
COMPLETED = "RUN_STATE_COMPLETED"
TRAINING_LIMIT_S = 240.0
"""The longest a test waits for a training: a trainer starts in about 5 s where nothing else runs."""
ARCHITECTURES: dict[str, Json] = {
    "lstm": {"lstm": {"hidden": 8, "layers": 2, "dropout": 0.1}},
    "transformer": {"transformer": {"hidden": 8, "layers": 1, "heads": 2, "feedForward": 16}},
}
SMALL = {"samples": 40, "steps": 16, "features": 3, "seed": 5}
"""40 series of 16 rows: 8 windows of 8 rows and a horizon of 1 in each."""


def windows(*, length: int = 8, horizon: int = 1) -> Json:
    """A pipeline: parts by series, each cut into windows."""
    split = {"method": "SPLIT_METHOD_SERIES", "testFraction": 0.2, "validationFraction": 0.2, "seed": 1}
    window = {"length": length, "stride": 1, "horizon": horizon}
    return {"seriesColumn": "series", "timeColumn": "step", "steps": [{"split": split}, {"window": window}]}


def dataset(person: Person, *, name: str = "waves", pipeline: Json | None = None, **generator: Any) -> Json:
    """A version of a dataset of made-up rows, at its end."""
    source = {"generator": {**SMALL, **generator}}
    told = {"name": name, "source": source, "pipeline": windows() if pipeline is None else pipeline, "wait": "60s"}
    version: Json = person.done("POST", "/data/process", json=told)["version"]
    assert version["state"] == "VERSION_STATE_READY", version  # noqa: S101 - for tests
    return version


def definition(data: Json, /, *, architecture: str = "lstm", epochs: int = 2, **more: Any) -> Json:
    """A TrainingSpec that forecasts the dataset; `more` replaces its parts."""
    spec = {
        "name": f"{architecture}-{new_id('x')}",
        "data": {"dataId": data["dataId"], "version": data["version"]},
        "architecture": ARCHITECTURES[architecture],
        "objective": {"kind": "OBJECTIVE_KIND_FORECASTING"},
        "optimization": {"epochs": epochs, "batchSize": 32},
        "seed": 7,
    }
    return {**spec, **more}


def begin(person: Person, spec: Json) -> Json:
    """Starts a training; the ids of model, run and task."""
    return person.done("POST", "/models/train", json={"spec": spec})


def updates(person: Person, run_id: str, *, after: int = 0) -> Generator[Json]:
    """What the watch says, from the point after `after`, until it ends or breaks off."""
    headers = {"authorization": person.authorization()}
    query = {"fromSequence": str(after)}
    with person.http.stream("GET", f"/runs/{run_id}:watch", params=query, headers=headers) as response:
        assert response.is_success, response.read()  # noqa: S101 - for tests
        for line in response.iter_lines():
            yield json.loads(line)["result"]["update"]


def followed(person: Person, run_id: str, *, after: int = 0) -> list[Json]:
    """Updates of a run to its end; a watch that breaks off is resumed after the last point seen."""
    seen: list[Json] = []

    def look() -> bool:
        last = max((int(update["sequence"]) for update in seen), default=after)
        try:
            with closing(updates(person, run_id, after=last)) as watch:
                seen.extend(watch)
        except (httpx.HTTPError, KeyError, AssertionError):  # broken off, ended by an error, or refused for now
            return False
        return bool(seen) and seen[-1]["state"] in ENDED

    until(look, f"run {run_id} to end", TRAINING_LIMIT_S)
    return seen


def points(seen: list[Json]) -> list[Json]:
    """The points of updates, in order."""
    return [point for update in seen for point in update["points"]]


def run_of(person: Person, run_id: str) -> Json:
    """A run as it is now."""
    return person.done("GET", f"/runs/{run_id}")


def ended(person: Person, run_id: str) -> Json:
    """A run at its end."""
    followed(person, run_id)
    return run_of(person, run_id)


def trained(person: Person, run_id: str) -> Json:
    """The version that came of a run, which must complete."""
    run = ended(person, run_id)
    assert run["state"] == COMPLETED, run  # noqa: S101 - for tests
    return person.done("GET", f"/models/{run['modelId']}/versions/{run['modelVersion']}")


def until_checkpoint(person: Person, run_id: str) -> Json:
    """The run once a checkpoint of it is safe and it still trains."""

    def look() -> Json | None:
        answer = person.call("GET", f"/runs/{run_id}")
        run: Json = answer.json() if answer.is_success else {}
        assert run.get("state") not in ENDED, run  # noqa: S101 - for tests
        return run if run and int(run["checkpointStep"]) > 0 else None

    return until(look, f"a checkpoint of {run_id}", TRAINING_LIMIT_S)
