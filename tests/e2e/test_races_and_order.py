"""Many at once, and in which order: nothing happens twice, and the important goes first."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from automesh.testing.live import until
from automesh.testing.people import Person, error_of

SLOTS = 4  # of the only agent


def test_the_same_request_sent_by_many_at_once_makes_one_task(developer: Person) -> None:
    headers = {"idempotency-key": "all-at-once", "authorization": developer.authorization()}
    body = {"type": "noop", "input": {"result": "one"}}
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(developer.call, "POST", "/tasks", json=body, headers=headers) for _ in range(32)]
        answers = [call.result() for call in calls]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["taskId"] for answer in answers}) == 1


def test_a_task_cancelled_while_it_ends_has_one_end_and_everybody_hears_the_same(ann: Person) -> None:
    made = [ann.submit("noop", {"sleep_s": 0.02})["taskId"] for _ in range(24)]
    ann.token()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda task_id: ann.call("POST", f"/tasks/{task_id}:cancel", json={}), made))
    ends = [ann.finished(task_id) for task_id in made]

    for answer, end in zip(answers, ends, strict=True):
        if answer.status_code == 200:
            assert (answer.json()["status"], end["status"]) == ("TASK_STATUS_CANCELLED", "TASK_STATUS_CANCELLED")
        else:
            assert error_of(answer)[:2] == (400, "TASK_ALREADY_FINISHED")
            assert end["status"] == "TASK_STATUS_COMPLETED"


def test_a_more_important_task_starts_before_those_that_waited_longer(bob: Person) -> None:
    running = [bob.began(bob.submit("noop", {"sleep_s": 60}, priority=9)["taskId"]) for _ in range(SLOTS)]
    waiting = {priority: bob.submit("noop", priority=priority)["taskId"] for priority in (0, 1, 5, 8)}
    urgent = bob.submit("noop", priority=9)["taskId"]
    bob.done("POST", f"/tasks/{running[0]['taskId']}:cancel", json={})
    ends = {priority: bob.finished(task_id) for priority, task_id in {**waiting, 9: urgent}.items()}
    for task in running[1:]:
        bob.done("POST", f"/tasks/{task['taskId']}:cancel", json={})

    began = sorted(ends, key=lambda priority: str(ends[priority]["startTime"]))
    assert began == [9, 8, 5, 1, 0]


def test_a_task_waits_for_its_time(developer: Person) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1.5)
    task = developer.finished(developer.submit(runAt=at.isoformat())["taskId"])

    assert datetime.fromisoformat(task["startTime"]) >= at


def test_an_attempt_that_takes_too_long_is_ended_and_its_agent_is_free(developer: Person) -> None:
    policy = {"maxRetries": 0}
    failed = developer.finished(developer.submit("noop", {"sleep_s": 60}, timeout="1s", retryPolicy=policy)["taskId"])
    free = until(
        lambda: all(int(each["leases"]) == 0 for each in developer.done("GET", "/agents")["agents"]), "no lease left"
    )

    assert (failed["status"], failed["failure"]["reason"]) == ("TASK_STATUS_FAILED", "TIMED_OUT")
    assert free


def test_many_watch_one_task_and_all_see_its_end(developer: Person) -> None:
    task_id = developer.submit("noop", {"sleep_s": 1})["taskId"]
    developer.token()
    with ThreadPoolExecutor(40) as pool:
        seen = list(pool.map(lambda _: list(developer.watch(task_id))[-1]["task"]["status"], range(40)))

    assert seen == ["TASK_STATUS_COMPLETED"] * 40
