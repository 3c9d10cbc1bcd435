"""Each process of the platform killed while people work: nothing that was promised is lost, and all comes back."""

import signal
from collections.abc import Callable

import httpx
import pytest

from automesh.testing.live import LiveStack, until
from automesh.testing.load import Load, load
from automesh.testing.people import FINISHED, Json, Person, error_of
from automesh.testing.witness import Witness

COMPLETED = "TASK_STATUS_COMPLETED"


def all_done(person: Person, made: Load, endings: Callable[[], dict[str, int]]) -> None:
    """Every acknowledged task is there, completed, ended once; and there is none beside them."""
    tasks = until(lambda: every_task_finished(person), "every task to be finished")
    counts = endings()

    assert {task["status"] for task in tasks} == {COMPLETED}
    assert sorted(task["taskId"] for task in tasks) == sorted(made.acknowledged.values())
    assert {counts[task["taskId"]] for task in tasks} == {1}


def every_task_finished(person: Person) -> list[Json] | None:
    page = person.done("GET", "/tasks", params={"pageSize": 1000})
    assert not page["nextPageToken"]
    return page["tasks"] if all(task["status"] in FINISHED for task in page["tasks"]) else None


@pytest.mark.parametrize("victim", ["postgres", "orchestrator", "gateway"])
def test_no_acknowledged_task_is_lost_or_doubled_when_it_is_killed_under_load(
    live: LiveStack, dora: Person, witness: Witness, victim: str
) -> None:
    with load(dora, victim) as made:
        made.until_more(30)
        pid = live.kill(victim)
        live.until_replaced(victim, pid)
        made.until_more(30)

    all_done(dora, made, witness.counts)


def test_agents_keep_what_they_work_on_while_the_orchestrator_is_started_again(
    live: LiveStack, dora: Person, witness: Witness
) -> None:
    began = dora.began(dora.submit("noop", {"sleep_s": 12, "result": "kept"})["taskId"])
    pid = live.kill("orchestrator")
    live.until_replaced("orchestrator", pid)
    task = dora.finished(began["taskId"])

    assert (task["status"], task["result"]["result"]) == (COMPLETED, "kept")
    assert (task["attempt"], task["agentId"]) == (1, began["agentId"])
    assert witness.endings(task["taskId"]) == [("COMPLETED", 1)]


def test_no_call_fails_while_control_is_killed_and_comes_back(live: LiveStack, dora: Person, witness: Witness) -> None:
    with load(dora, "control") as made:
        made.until_more(30)
        pid = live.kill("control")
        made.until_more(30)
        live.until_replaced("control", pid)
        made.until_more(30)

    assert made.failures == []
    all_done(dora, made, witness.counts)


def test_after_control_is_back_it_knows_every_service_again(live: LiveStack, admin: Person) -> None:
    pid = live.kill("control")
    live.until_replaced("control", pid)

    def states() -> set[str]:
        health = admin.call("GET", "/health")
        return {each["status"] for each in health.json()["services"]} if health.is_success else set()

    until(lambda: states() == {"HEALTH_STATUS_SERVING"}, "every service to serve in control's eyes")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_tasks_are_done_and_watched_while_redis_is_away_or_hangs(
    live: LiveStack, dora: Person, number: signal.Signals
) -> None:
    running = dora.began(dora.submit("noop", {"sleep_s": 2})["taskId"])
    pid = live.send("redis", number)
    try:
        late = dora.submit("noop", {"sleep_s": 1})
        seen = {task_id: list(dora.watch(task_id)) for task_id in (running["taskId"], late["taskId"])}
    finally:
        if number is signal.SIGSTOP:
            live.send("redis", signal.SIGCONT)
        else:
            live.until_replaced("redis", pid)

    assert {messages[-1]["task"]["status"] for messages in seen.values()} == {COMPLETED}


def test_tokens_keep_working_while_auth_is_away_and_the_audit_entries_come_later(
    live: LiveStack, dora: Person, admin: Person
) -> None:
    dora.finished(dora.submit()["taskId"])
    admin.token()
    live.send("auth", signal.SIGSTOP)
    try:
        made = [dora.submit()["taskId"] for _ in range(5)]
        done = {dora.finished(task_id)["status"] for task_id in made}
        login = dora.call(
            "POST", "/auth/login", json={"username": "x", "password": "y"}, headers={"grpc-timeout": "1S"}
        )
    finally:
        pid = live.kill("auth")
    live.until_replaced("auth", pid)

    def audited() -> set[str]:
        events = admin.done("GET", "/audit/events", params={"subject": dora.who()["subject"], "pageSize": 1000})
        return {each["resource"] for each in events["events"] if each["outcome"] == "OK"}

    assert done == {COMPLETED}
    assert error_of(login)[0] in (503, 504)
    until(lambda: audited() >= set(made), "the entries of what was done meanwhile")


def test_a_watch_that_breaks_off_with_the_gateway_goes_on_where_it_was(live: LiveStack, dora: Person) -> None:
    task_id = dora.began(dora.submit("noop", {"sleep_s": 10})["taskId"])["taskId"]
    watch = dora.watch(task_id)
    first = next(watch)
    pid = live.kill("gateway")
    with pytest.raises(httpx.HTTPError):
        list(watch)
    live.until_replaced("gateway", pid)
    rest = list(dora.watch(task_id, cursor=first["cursor"]))

    assert rest[-1]["task"]["status"] == COMPLETED
    assert rest[-1]["task"]["attempt"] == 1


def test_whatever_is_killed_at_once_the_stack_comes_back_as_a_whole(
    live: LiveStack, dora: Person, witness: Witness
) -> None:
    names = [
        "postgres",
        "redis",
        "control",
        "auth",
        "orchestrator",
        "data",
        "doc",
        "model",
        "gateway",
        *live.named("agent"),
    ]
    with load(dora, "all") as made:
        made.until_more(20)
        pids = {name: live.kill(name) for name in names}
        for name, pid in pids.items():
            live.until_replaced(name, pid)
        made.until_more(20)

    all_done(dora, made, witness.counts)
