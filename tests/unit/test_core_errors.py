"""The error tree: kinds, reasons, metadata."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core import errors
from automesh.core.errors import AutomationError, Exhausted, FieldViolation, Kind, ValidationError

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, AutomationError)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_every_error_has_a_kind_a_reason_for_programs_and_a_docstring(error: type[AutomationError]) -> None:
    assert isinstance(error.kind, Kind)
    assert error.reason == error.reason.upper()
    assert error.reason.replace("_", "").isalpha()
    assert error.__doc__


def test_no_two_classes_but_the_internal_ones_share_a_reason() -> None:
    reasons = [error.reason for error in CLASSES if error.kind is not Kind.INTERNAL]
    assert len(reasons) == len(set(reasons))


@given(st.text(), st.dictionaries(st.from_regex(r"[a-z]{2}[A-Z][a-z]{3}", fullmatch=True), st.integers() | st.text()))
def test_an_error_keeps_its_message_and_turns_its_metadata_into_text(text: str, metadata: dict[str, int | str]) -> None:
    error = AutomationError(text, retry_after=None, **metadata)  # type: ignore[arg-type]
    assert str(error) == error.message == text
    assert error.metadata == {key: str(value) for key, value in metadata.items()}


def test_a_bound_that_is_reached_says_when_to_come_again() -> None:
    error = Exhausted("1000 tasks wait already", retry_after=timedelta(seconds=5), limit=1000)
    assert error.retry_after == timedelta(seconds=5)
    assert error.metadata == {"limit": "1000"}


def test_a_validation_error_names_its_field_first_then_the_other_violations() -> None:
    other = FieldViolation("task.type", "is empty")
    error = ValidationError(
        "priority 10 is not between 0 and 9", field="task.priority", violations=[other], priority=10
    )
    assert error.violations == (FieldViolation("task.priority", "priority 10 is not between 0 and 9"), other)
    assert error.metadata == {"priority": "10"}


def test_a_validation_error_without_a_field_has_no_violations() -> None:
    assert ValidationError("the request is empty").violations == ()
