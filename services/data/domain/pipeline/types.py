"""Types of expressions: every part is held against the columns before an engine sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import NoReturn

from services.data.domain.pipeline.columns import FLOATS, INTEGERS, ColumnType, Schema
from services.data.domain.pipeline.expression import COMPARISONS, Binary, Call, Constant, Expression, Name, Unary
from services.data.domain.pipeline.tokens import wrong

MAX_BACK = 10_000
MAX_DECIMALS = 15
MAX_NAMED = 20


class Kind(StrEnum):
    """What a value is; the words stand in messages."""

    WHOLE = "a whole number"
    NUMBER = "a number"
    TRUTH = "true or false"
    TEXT = "text"
    MOMENT = "a moment"
    DAY = "a day"
    NULL = "null"


_OF_COLUMN = {ColumnType.BOOLEAN: Kind.TRUTH, ColumnType.STRING: Kind.TEXT} | {
    ColumnType.TIMESTAMP: Kind.MOMENT,
    ColumnType.DATE: Kind.DAY,
}
_AS_COLUMN = {
    Kind.WHOLE: ColumnType.INT64,
    Kind.NUMBER: ColumnType.FLOAT64,
    Kind.TRUTH: ColumnType.BOOLEAN,
    Kind.TEXT: ColumnType.STRING,
    Kind.MOMENT: ColumnType.TIMESTAMP,
    Kind.DAY: ColumnType.DATE,
    Kind.NULL: ColumnType.FLOAT64,
}
_NUMERIC = frozenset({Kind.WHOLE, Kind.NUMBER, Kind.NULL})
_TIMES = {Kind.MOMENT, Kind.DAY}


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression whose parts fit together, and what comes of it."""

    expression: Expression
    type: ColumnType


def typed(expression: Expression, schema: Schema, *, field: str) -> Typed:
    """The expression with its type; texts beside moments and days become such.

    Raises ValidationError for unknown columns and for parts that do not fit together.
    """
    tree, kind = _Types(schema, field).of(expression)
    return Typed(tree, _AS_COLUMN[kind])


class _Types:
    def __init__(self, schema: Schema, field: str) -> None:
        self._schema = schema
        self._field = field

    def of(self, node: Expression) -> tuple[Expression, Kind]:
        """The node with what it is."""
        if isinstance(node, Name):
            return node, self._column(node)
        if isinstance(node, Constant):
            return node, _constant(node)
        if isinstance(node, Unary):
            return self._unary(node)
        if isinstance(node, Binary):
            return self._binary(node)
        return self._call(node)

    def _wrong(self, what: str, node: Expression) -> NoReturn:
        wrong(what, node.at, self._field)

    def _column(self, node: Name) -> Kind:
        kind = self._schema.get(node.name)
        if kind is None:
            self._wrong(f"there is no column {node.name!r}; there are {named(self._schema)}", node)
        if kind in INTEGERS:
            return Kind.WHOLE
        return Kind.NUMBER if kind in FLOATS else _OF_COLUMN[kind]

    def _unary(self, node: Unary) -> tuple[Expression, Kind]:
        operand, kind = self.of(node.operand)
        wanted = _NUMERIC if node.sign == "-" else {Kind.TRUTH, Kind.NULL}
        if kind not in wanted:
            self._wrong(f"{node.sign} cannot be applied to {kind}", node)
        return Unary(node.sign, operand, node.at), kind

    def _binary(self, node: Binary) -> tuple[Expression, Kind]:
        left, left_kind = self.of(node.left)
        right, right_kind = self.of(node.right)
        if node.sign in COMPARISONS:
            left, right = self._comparable(node, (left, left_kind), (right, right_kind))
            return Binary(node.sign, left, right, node.at), Kind.TRUTH
        wanted = {Kind.TRUTH, Kind.NULL} if node.sign in {"and", "or"} else _NUMERIC
        for kind in (left_kind, right_kind):
            if kind not in wanted:
                self._wrong(f"{node.sign} cannot be applied to {kind}", node)
        made = Binary(node.sign, left, right, node.at)
        if node.sign in {"and", "or"}:
            return made, Kind.TRUTH
        whole = {left_kind, right_kind} == {Kind.WHOLE} and node.sign not in {"/", "**"}
        return made, Kind.WHOLE if whole else Kind.NUMBER

    def _comparable(
        self, node: Binary, left: tuple[Expression, Kind], right: tuple[Expression, Kind]
    ) -> tuple[Expression, Expression]:
        if left[1] in _TIMES and right[1] is Kind.TEXT:
            return left[0], self._time(right[0], left[1])
        if right[1] in _TIMES and left[1] is Kind.TEXT:
            return self._time(left[0], right[1]), right[0]
        self._united(node, [left[1], right[1]])
        return left[0], right[0]

    def _time(self, node: Expression, kind: Kind) -> Expression:
        if not isinstance(node, Constant) or not isinstance(node.value, str):
            self._wrong(f"text cannot be compared with {kind}: cast the column first", node)
        try:
            if kind is Kind.DAY:
                return Constant(date.fromisoformat(node.value), node.at)
            moment = datetime.fromisoformat(node.value)
        except ValueError:
            self._wrong(f"{node.value!r} is not {kind}: write it as 2026-01-31 or 2026-01-31T12:00:00", node)
        return Constant(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment, node.at)

    def _united(self, node: Expression, kinds: list[Kind]) -> Kind:
        """The one kind that all are, nulls aside; whole numbers beside others become numbers."""
        found = {kind for kind in kinds if kind is not Kind.NULL}
        if found == {Kind.WHOLE, Kind.NUMBER}:
            return Kind.NUMBER
        if len(found) > 1:
            self._wrong(f"{' and '.join(sorted(found))} do not go together", node)
        return found.pop() if found else Kind.NULL

    def _call(self, node: Call) -> tuple[Expression, Kind]:
        pairs = [self.of(argument) for argument in node.arguments]
        kinds = [kind for _, kind in pairs]
        made = Call(node.function, tuple(tree for tree, _ in pairs), node.at)
        return made, _RULES[node.function](self, made, kinds)

    def _all(self, node: Call, kinds: list[Kind], wanted: frozenset[Kind]) -> None:
        for kind in kinds:
            if kind not in wanted | {Kind.NULL}:
                self._wrong(f"{node.function}() takes {' or '.join(sorted(wanted - {Kind.NULL}))}, not {kind}", node)

    def number(self, node: Call, kinds: list[Kind]) -> Kind:
        """abs, floor, min, ...: whole numbers stay whole."""
        self._all(node, kinds, _NUMERIC)
        return self._united(node, kinds)

    def real(self, node: Call, kinds: list[Kind]) -> Kind:
        """sqrt, log, ..."""
        self._all(node, kinds, _NUMERIC)
        return Kind.NUMBER

    def rounded(self, node: Call, kinds: list[Kind]) -> Kind:
        """round(x) and round(x, decimals)."""
        self._all(node, kinds[:1], _NUMERIC)
        if len(kinds) > 1:
            self._literal(node, 1, MAX_DECIMALS, least=0)
        return kinds[0]

    def choice(self, node: Call, kinds: list[Kind]) -> Kind:
        """if(condition, a, b)."""
        self._all(node, kinds[:1], frozenset({Kind.TRUTH}))
        return self._united(node, kinds[1:])

    def any(self, node: Call, kinds: list[Kind]) -> Kind:
        """coalesce(a, b, ...)."""
        return self._united(node, kinds)

    def null(self, _node: Call, _kinds: list[Kind]) -> Kind:
        """is_null(x)."""
        return Kind.TRUTH

    def text(self, node: Call, kinds: list[Kind]) -> Kind:
        """lower, upper, length."""
        self._all(node, kinds, frozenset({Kind.TEXT}))
        return Kind.WHOLE if node.function == "length" else Kind.TEXT

    def time(self, node: Call, kinds: list[Kind]) -> Kind:
        """year, month, day, weekday; hour of moments only."""
        days = frozenset[Kind]() if node.function == "hour" else frozenset({Kind.DAY})
        self._all(node, kinds, frozenset({Kind.MOMENT}) | days)
        return Kind.WHOLE

    def back(self, node: Call, kinds: list[Kind]) -> Kind:
        """lag(x, n), diff(x, n), rolling_mean(x, n)."""
        if node.function != "lag":
            self._all(node, kinds[:1], _NUMERIC)
        if len(kinds) > 1:
            self._literal(node, 1, MAX_BACK, least=1)
        return Kind.NUMBER if node.function == "rolling_mean" else kinds[0]

    def _literal(self, node: Call, place: int, most: int, *, least: int) -> None:
        given = node.arguments[place]
        value = given.value if isinstance(given, Constant) else None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self._wrong(f"{node.function}() takes a plain whole number from {least} to {most} there", given)


_Rule = Callable[[_Types, Call, list[Kind]], Kind]
_RULES: dict[str, _Rule] = {
    "if": _Types.choice, "coalesce": _Types.any, "is_null": _Types.null, "round": _Types.rounded,
    **dict.fromkeys(("abs", "floor", "ceil", "min", "max"), _Types.number),
    **dict.fromkeys(("sqrt", "log", "exp", "sin", "cos"), _Types.real),
    **dict.fromkeys(("lower", "upper", "length"), _Types.text),
    **dict.fromkeys(("year", "month", "day", "weekday", "hour"), _Types.time),
    **dict.fromkeys(("lag", "diff", "rolling_mean"), _Types.back),
}  # fmt: skip


def named(schema: Schema) -> str:
    """The first columns, for messages."""
    names = list(schema)
    if not names:
        return "none"
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _constant(node: Constant) -> Kind:
    if node.value is None:
        return Kind.NULL
    for kind, name in ((bool, Kind.TRUTH), (int, Kind.WHOLE), (float, Kind.NUMBER), (datetime, Kind.MOMENT)):
        if isinstance(node.value, kind):
            return name
    return Kind.TEXT if isinstance(node.value, str) else Kind.DAY
