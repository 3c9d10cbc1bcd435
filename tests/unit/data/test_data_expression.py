"""The expression language: what it means, and what it says about what it does not take."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from services.data.domain.pipeline.columns import ColumnType as T
from services.data.domain.pipeline.expression import Binary, Call, Constant, Name, Unary, columns, looks_back, parse
from services.data.domain.pipeline.types import typed

SCHEMA = {
    "x": T.FLOAT32,
    "n": T.INT64,
    "s": T.STRING,
    "b": T.BOOLEAN,
    "d": T.DATE,
    "m": T.TIMESTAMP,
    "two words": T.INT32,
}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("2 ** 3 ** 2", "2 ** (3 ** 2)"),
        ("-x ** 2", "-(x ** 2)"),
        ("not b and b or b", "((not b) and b) or b"),
        ("x + 1 > n * 2", "(x + 1) > (n * 2)"),
        ("+x", "x"),
    ],
)
def test_signs_bind_as_in_mathematics(text: str, same: str) -> None:
    assert shape(text) == shape(same)


def shape(text: str) -> object:
    """The tree without places."""

    def plain(node: object) -> object:
        match node:
            case Name(name):
                return name
            case Constant(value):
                return value
            case Unary(sign, operand):
                return (sign, plain(operand))
            case Binary(sign, left, right):
                return (sign, plain(left), plain(right))
            case Call(function, arguments):
                return (function, *(plain(one) for one in arguments))
        raise AssertionError(node)

    return plain(parse(text))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("n + 1", T.INT64), ("n / 1", T.FLOAT64), ("x", T.FLOAT64), ("`two words` % 3", T.INT64), ("n ** 2", T.FLOAT64),
        ("s == 'a'", T.BOOLEAN), ("if(b, 1, 2.5)", T.FLOAT64), ("if(b, s, null)", T.STRING), ("lag(d, 2)", T.DATE),
        ("length(s)", T.INT64), ("coalesce(m, null)", T.TIMESTAMP), ("rolling_mean(n, 3)", T.FLOAT64),
        ("null", T.FLOAT64),
    ],
)  # fmt: skip
def test_types_follow_from_the_columns(text: str, kind: T) -> None:
    assert typed(parse(text), SCHEMA, field="e").type is kind


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 1, "there is no expression"),
        ("x +", 4, "a value is missing"),
        ("(x", 3, "')' is missing"),
        ("x x", 3, "'x' is too much"),
        ("x = 1", 3, "equality is =="),
        ("x < n < 3", 7, "do not chain"),
        ("open('f')", 1, "there is no function 'open'"),
        ("x.y", 2, "'.' means nothing"),
        ("'a", 1, "never closed"),
        ("'\\q'", 1, "\\q means nothing"),
        ("``", 1, "names no column"),
        ("abs()", 5, "a value is missing"),
        ("abs(x, n)", 1, "takes 1 values, not 2"),
        ("y", 1, "there is no column 'y'"),
        ("s + 1", 3, "+ cannot be applied to text"),
        ("not x", 1, "not cannot be applied to a number"),
        ("if(x, 1, 2)", 1, "takes true or false"),
        ("if(b, s, 1)", 1, "do not go together"),
        ("s > m", 1, "cast the column first"),
        ("d == 'soon'", 6, "is not a day"),
        ("hour(d)", 1, "takes a moment, not a day"),
        ("lag(x, n)", 8, "a plain whole number from 1 to 10000"),
        ("lag(x, 0)", 8, "a plain whole number"),
        ("1e999", 1, "too large"),
        ("9" * 30, 1, "at most 18 digits"),
        ("(" * 60 + "x" + ")" * 60, 42, "nested more than 40 deep"),
        ("x" + "+x" * 300, 400, "more than 400 parts"),
        ("x" * 2001, 2001, "more than 2000"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, at: int, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        typed(
            parse(text, field="pipeline.steps[3].derive.expression"),
            SCHEMA,
            field="pipeline.steps[3].derive.expression",
        )
    assert caught.value.message.startswith(f"pipeline.steps[3].derive.expression: at character {at}: ")
    assert words in caught.value.message
    assert caught.value.violations[0].field == "pipeline.steps[3].derive.expression"


@given(st.text(alphabet="xn1.+-*/%()<>=!,'`\"\\ abdiflgnotr\n", max_size=60) | st.text(max_size=30))
def test_any_text_is_an_expression_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(ValidationError):  # any other error is a bug
        typed(parse(text), SCHEMA, field="e")


def test_columns_and_looking_back_are_known() -> None:
    tree = parse("lag(x, 1) + n * x")
    assert columns(tree) == ["x", "n"]
    assert looks_back(tree)
    assert not looks_back(parse("x + n"))
