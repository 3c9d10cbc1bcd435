"""What a caller may ask for."""

from datetime import UTC, datetime, timedelta

import pytest

from automesh.core.errors import ValidationError
from services.orchestrator.domain.agents import Capability, NewAgent
from services.orchestrator.domain.artifact import check_name, media_type
from services.orchestrator.domain.document import MAX_BYTES, Document
from services.orchestrator.domain.retry import RetryPolicy, jitter_between
from services.orchestrator.domain.spec import NewTask, check_request_id, check_run_at

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def field_of(error: pytest.ExceptionInfo[ValidationError]) -> str:
    return error.value.violations[0].field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": ""}, "task.type"),
        ({"type": "Noop"}, "task.type"),
        ({"type": "x" * 65}, "task.type"),
        ({"description": "x" * 4097}, "task.description"),
        ({"description": "a\0b"}, "task.description"),
        ({"priority": 10}, "task.priority"),
        ({"priority": -1}, "task.priority"),
        ({"timeout": timedelta(milliseconds=999)}, "task.timeout"),
        ({"timeout": timedelta(days=7, seconds=1)}, "task.timeout"),
    ],
)
def test_a_task_out_of_bounds_names_the_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        NewTask(**{"type": "noop", **changes})  # type: ignore[arg-type] # that is the point
    assert field_of(error) == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_retries": -1}, "task.retry_policy.max_retries"),
        ({"max_retries": 101}, "task.retry_policy.max_retries"),
        ({"initial_delay": timedelta(hours=2)}, "task.retry_policy.initial_delay"),
        ({"initial_delay": timedelta(seconds=-1)}, "task.retry_policy.initial_delay"),
        ({"multiplier": 0.9}, "task.retry_policy.multiplier"),
        ({"multiplier": 11.0}, "task.retry_policy.multiplier"),
        ({"multiplier": float("nan")}, "task.retry_policy.multiplier"),
    ],
)
def test_a_retry_policy_out_of_bounds_names_the_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        RetryPolicy(**changes)  # type: ignore[arg-type] # that is the point
    assert field_of(error) == field


def test_waits_double_up_to_an_hour() -> None:
    policy = RetryPolicy()
    assert [policy.delay(failures, 1.0).total_seconds() for failures in (0, 1, 2, 20)] == [5, 10, 20, 3600]
    assert policy.delay(99, 1.0) == timedelta(hours=1)


def test_jitter_stays_within_a_quarter() -> None:
    assert (jitter_between(0.0), jitter_between(0.5), jitter_between(1.0)) == (0.75, 1.0, 1.25)


def test_equal_objects_are_equal_documents() -> None:
    assert Document.of({"b": 1, "a": [None]}, field="x") == Document.of({"a": [None], "b": 1}, field="x")
    assert Document.of({"ä": 1.5}, field="x").content() == {"ä": 1.5}


def test_a_document_has_at_most_a_mebibyte() -> None:
    rest = MAX_BYTES - len(b'{"k":""}')
    Document.of({"k": "x" * rest}, field="task.input")
    with pytest.raises(ValidationError) as error:
        Document.of({"k": "x" * (rest + 1)}, field="task.input")
    assert field_of(error) == "task.input"


def test_a_start_more_than_a_year_ahead_is_refused() -> None:
    check_run_at(None, NOW)
    check_run_at(NOW - timedelta(days=900), NOW)
    check_run_at(NOW + timedelta(days=366), NOW)
    with pytest.raises(ValidationError):
        check_run_at(NOW + timedelta(days=367), NOW)


@pytest.mark.parametrize("request_id", ["a b", "ä", "x" * 129, "a\n"])
def test_an_odd_request_id_is_refused(request_id: str) -> None:
    check_request_id("")
    check_request_id("x" * 128)
    with pytest.raises(ValidationError):
        check_request_id(request_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"slots": 0},
        {"slots": 1001},
        {"capabilities": ()},
        {"capabilities": (Capability("noop"), Capability("noop"))},
        {"capabilities": tuple(Capability(f"t{number}") for number in range(101))},
        {"name": "x" * 129},
        {"name": "\0"},
        {"version": "x" * 129},
    ],
)
def test_an_odd_agent_is_refused(changes: dict[str, object]) -> None:
    fine: dict[str, object] = {"name": "a", "capabilities": (Capability("noop"),), "slots": 1}
    NewAgent(**fine)  # type: ignore[arg-type] # made of parts
    with pytest.raises(ValidationError):
        NewAgent(**{**fine, **changes})  # type: ignore[arg-type] # that is the point


def test_a_capability_needs_a_type_and_a_short_description() -> None:
    for wrong in (("",), ("Not a type",), ("noop", "x" * 1025)):
        with pytest.raises(ValidationError):
            Capability(*wrong)


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", ".", "a/../b", "a\\b", "tab\there", "x" * 513])
def test_an_artifacts_name_is_a_plain_relative_path(name: str) -> None:
    check_name("tests/test_version.py")
    check_name("Übersicht 1.txt")
    with pytest.raises(ValidationError):
        check_name(name)


def test_a_media_type_is_guessed_from_the_name_when_none_is_given() -> None:
    assert media_type("", "a.json") == "application/json"
    assert media_type("", "a.unheard") == "application/octet-stream"
    assert media_type("text/plain; charset=utf-8", "a") == "text/plain; charset=utf-8"
    with pytest.raises(ValidationError):
        media_type("not a type\r\nX-Evil: 1", "a")
