"""Variables of templates: what they may be, and what may be given for them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from services.doc.domain.templates.template import NewTemplate
from services.doc.domain.templates.variable import Variable, VariableType, filled

T = VariableType
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def variable(kind: VariableType = T.STRING, **fields: Any) -> Variable:
    return Variable(name="x", type=kind, choices=("a", "b") if kind is T.CHOICE else (), **fields)


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        (T.STRING, " a ", "a"),
        (T.TEXT, "a\n b\n", "a\n b\n"),
        (T.NUMBER, 7.0, 7),
        (T.NUMBER, 7.5, 7.5),
        (T.BOOLEAN, True, True),
        (T.DATE, "2026-11-26", "2026-11-26"),
        (T.CHOICE, "b", "b"),
        (T.LIST, ["a", " ", "b "], ["a", "b"]),
        (T.USER, "ann", "ann"),
    ],
)
def test_a_value_of_the_type_is_taken(kind: VariableType, value: Any, made: Any) -> None:
    assert filled([variable(kind)], {"x": value}) == {"x": made}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (T.STRING, "a\nb"),
        (T.STRING, 7),
        (T.TEXT, "a\x00"),
        (T.NUMBER, "seven"),
        (T.NUMBER, True),
        (T.NUMBER, float("inf")),
        (T.BOOLEAN, "yes"),
        (T.DATE, "26.11.2026"),
        (T.DATE, "2026-02-30"),
        (T.CHOICE, "c"),
        (T.LIST, "a"),
        (T.LIST, [["a"]]),
        (T.USER, "x" * 3000),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(kind: VariableType, value: Any) -> None:
    with pytest.raises(ValidationError) as error:
        filled([variable(kind)], {"x": value})
    assert [violation.field for violation in error.value.violations] == ["values.x"]
    assert "'x' must be" in error.value.message


@pytest.mark.parametrize(
    ("kind", "empty"),
    [(T.STRING, ""), (T.TEXT, ""), (T.NUMBER, 0), (T.BOOLEAN, False), (T.DATE, ""), (T.CHOICE, ""), (T.LIST, [])],
)
def test_what_is_not_given_is_the_default_or_an_empty_value_of_its_type(kind: VariableType, empty: Any) -> None:
    assert filled([variable(kind)], {}) == {"x": empty}
    assert filled([variable()], {"x": None}) == {"x": ""}
    assert filled([variable(default="d")], {}) == {"x": "d"}
    assert filled([variable(default="d")], {"x": ""}) == {"x": ""}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    variables = [variable(required=True, label="The title"), Variable(name="n", type=T.NUMBER)]
    with pytest.raises(ValidationError) as error:
        filled(variables, {"n": "many", "titel": "?", "x": " "})
    assert {violation.field for violation in error.value.violations} == {"values.x", "values.n", "values.titel"}
    assert "The title" in error.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "1x"},
        {"name": "a-b"},
        {"name": "today"},
        {"name": "for"},
        {"name": "x", "type": T.CHOICE},
        {"name": "x", "choices": ("a",)},
        {"name": "x", "type": T.CHOICE, "choices": ("a", "a")},
        {"name": "x", "type": T.NUMBER, "default": "many"},
        {"name": "x", "label": "l" * 300},
    ],
)
def test_a_variable_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Variable(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": " "},
        {"name": "a\nb"},
        {"body": ""},
        {"body": "x" * 300_000},
        {"path": "a\n.md"},
        {"variables": (variable(), variable())},
        {"description": "\x00"},
    ],
)
def test_a_template_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewTemplate(**{"space": "handbook", "name": "Page", "body": "x"} | fields)


@given(st.sampled_from(T), JSON)
def test_whatever_is_given_is_either_taken_as_its_type_or_refused(kind: VariableType, value: Any) -> None:
    try:
        made = filled([variable(kind)], {"x": value})["x"]
    except ValidationError:
        return
    expected = {T.NUMBER: int | float, T.BOOLEAN: bool, T.LIST: list}.get(kind, str)
    assert isinstance(made, expected)
