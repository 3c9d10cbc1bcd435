"""Trainings whose surroundings die: each ends with the very weights of a training that nobody disturbed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from automesh.testing.live import LiveStack, until
from automesh.testing.people import Json, Person
from automesh.testing.trainings import begin, dataset, definition, followed, points, run_of, trained, until_checkpoint
from automesh.testing.witness import Witness

pytestmark = pytest.mark.torch

EPOCHS = 60
POINTS = 8 * EPOCHS
TRAINER = "services.model.trainer"


@pytest.fixture(scope="module")
def undisturbed(admin: Person) -> Json:
    """The version of a training that nobody disturbed."""
    return trained(admin, begin(admin, definition(dataset(admin), epochs=EPOCHS))["runId"])


@pytest.fixture
def run(undisturbed: Json, dora: Person) -> Json:
    """The same training again, with a checkpoint behind it and most of its way before it: its ids."""
    begun = begin(dora, definition(dataset(dora), epochs=EPOCHS))
    until_checkpoint(dora, begun["runId"])
    return begun


def trainer(live: LiveStack) -> psutil.Process:
    """The one that trains now, not what guards it."""
    found = [each for each in live.below(live.state.folder / "work") if TRAINER in each.cmdline()]
    return max(found, key=lambda each: len(each.parents()))


def agent_of(live: LiveStack) -> str:
    """The process of the stack that has the trainer."""
    above = {each.pid for each in trainer(live).parents()}
    return next(name for name in live.named("agent") if live.process(name).pid in above)


@contextmanager
def watched(person: Person, run_id: str) -> Iterator[list[Json]]:
    """Everything that somebody hears who watches from now on to the end, resuming after each cut."""
    heard: list[Json] = []
    watcher = threading.Thread(target=lambda: heard.extend(followed(person, run_id)), daemon=True)
    watcher.start()
    yield heard
    watcher.join()


def held_against(undisturbed: Json, person: Person, run_id: str) -> None:
    """The same weights, the same figures; every point of every epoch once."""
    version = trained(person, run_id)
    listed = person.done("GET", f"/runs/{run_id}/metrics", params={"names": "val/loss", "pageSize": 1000})["points"]
    epochs = [point["epoch"] for point in listed]

    assert version["digest"] == undisturbed["digest"]
    assert version["metrics"] == undisturbed["metrics"]
    assert sorted(set(epochs)) == list(range(1, EPOCHS + 1))


def test_a_training_whose_agent_is_killed_goes_on_elsewhere_to_the_same_weights(
    live: LiveStack, dora: Person, witness: Witness, undisturbed: Json, run: Json
) -> None:
    victim, run_id, task_id = agent_of(live), run["runId"], run["taskId"]
    died = trainer(live)
    pid = live.kill(victim)
    held_against(undisturbed, dora, run_id)

    assert not died.is_running()
    assert run_of(dora, run_id)["claims"] == 2
    assert dora.finished(task_id)["attempt"] == 2
    assert witness.endings(task_id) == [("COMPLETED", 2)]
    live.until_replaced(victim, pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_trainer_that_is_killed_or_hangs_is_started_again_and_goes_on_to_the_same_weights(
    live: LiveStack, dora: Person, undisturbed: Json, run: Json, number: signal.Signals
) -> None:
    run_id, victim = run["runId"], trainer(live)
    victim.send_signal(number)
    until(lambda: run_of(dora, run_id)["claims"] == 2, "another attempt to have the run")
    held_against(undisturbed, dora, run_id)

    assert not victim.is_running()
    assert dora.finished(run["taskId"])["attempt"] == 2


@pytest.mark.parametrize("victim", ["model", "orchestrator", "postgres"])
def test_a_training_and_those_who_watch_it_do_not_notice_that_a_service_dies(
    live: LiveStack, dora: Person, undisturbed: Json, run: Json, victim: str
) -> None:
    run_id = run["runId"]
    with watched(dora, run_id) as heard:
        pid = live.kill(victim)
        live.until_replaced(victim, pid)
    held_against(undisturbed, dora, run_id)
    listed = dora.done("GET", f"/runs/{run_id}/metrics", params={"pageSize": 10_000})["points"]

    assert points(heard) == listed
    assert len(listed) == int(heard[-1]["sequence"]) == POINTS
    assert run_of(dora, run_id)["claims"] == 1
    assert dora.finished(run["taskId"])["attempt"] == 1
