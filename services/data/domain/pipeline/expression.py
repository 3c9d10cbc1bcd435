"""The expression language of derive and drop steps: parsed into a bounded tree, never evaluated as code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.data.domain.pipeline.columns import check_column_name
from services.data.domain.pipeline.tokens import Token, tokens, wrong

MAX_LENGTH = 2_000
MAX_DEPTH = 40
MAX_NODES = 400  # a tree that leans to one side stays far from Python's recursion limit
MAX_NUMBER_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Name:
    """The value of a column."""

    name: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, text, truth value, null, or (once types are known) a moment or day."""

    value: int | float | str | bool | datetime | date | None
    at: int = 0


@dataclass(frozen=True, slots=True)
class Unary:
    """`-` or `not`."""

    sign: str
    operand: Expression
    at: int = 0


@dataclass(frozen=True, slots=True)
class Binary:
    """`+ - * / % ** == != < <= > >= and or`."""

    sign: str
    left: Expression
    right: Expression
    at: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One of FUNCTIONS."""

    function: str
    arguments: Sequence[Expression]
    at: int = 0


Expression = Name | Constant | Unary | Binary | Call

FUNCTIONS = {
    "if": (3, 3), "abs": (1, 1), "sqrt": (1, 1), "log": (1, 1), "exp": (1, 1), "sin": (1, 1), "cos": (1, 1),
    "floor": (1, 1), "ceil": (1, 1), "round": (1, 2), "min": (2, 20), "max": (2, 20), "is_null": (1, 1),
    "coalesce": (2, 20), "lower": (1, 1), "upper": (1, 1), "length": (1, 1), "year": (1, 1), "month": (1, 1),
    "day": (1, 1), "weekday": (1, 1), "hour": (1, 1), "lag": (1, 2), "diff": (1, 2), "rolling_mean": (2, 2),
}  # fmt: skip
"""Every function with the least and the most arguments."""
IN_SERIES = frozenset({"lag", "diff", "rolling_mean"})
"""Those that look at rows before theirs, inside its series."""
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_LEVELS: tuple[frozenset[str], ...] = (frozenset({"+", "-"}), frozenset({"*", "/", "%"}))


def parse(expression: str, *, field: str = "expression") -> Expression:
    """The tree of an expression. Raises ValidationError that says where it is wrong."""
    if not expression.strip():
        wrong("there is no expression", 0, field)
    if len(expression) > MAX_LENGTH:
        wrong(f"{len(expression)} characters are more than {MAX_LENGTH}", MAX_LENGTH, field)
    return _Parser(tokens(expression, field=field), field).whole()


def nodes(expression: Expression) -> Iterator[Expression]:
    """The expression and all below it."""
    yield expression
    below: Sequence[Expression] = ()
    if isinstance(expression, Unary):
        below = (expression.operand,)
    elif isinstance(expression, Binary):
        below = (expression.left, expression.right)
    elif isinstance(expression, Call):
        below = expression.arguments
    for one in below:
        yield from nodes(one)


def columns(expression: Expression) -> list[str]:
    """The columns it reads, each once."""
    return list(dict.fromkeys(node.name for node in nodes(expression) if isinstance(node, Name)))


def looks_back(expression: Expression) -> bool:
    """Whether it needs the order of rows in their series."""
    return any(isinstance(node, Call) and node.function in IN_SERIES for node in nodes(expression))


class _Parser:
    """Precedence climbing: or, and, not, comparison, + -, * / %, minus, **."""

    def __init__(self, found: list[Token], field: str) -> None:
        self._tokens = found
        self._field = field
        self._next = 0
        self._depth = 0
        self._nodes = 0

    def whole(self) -> Expression:
        tree = self._or()
        if self._token.kind != "end":
            self._wrong(f"{self._token.value!r} is too much: the expression ends before it")
        return tree

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _wrong(self, what: str) -> None:
        wrong(what, self._token.at, self._field)

    def _take(self, *values: str, kind: str = "sign") -> Token | None:
        token = self._token
        if token.kind != kind or (values and token.value not in values):
            return None
        self._next += 1
        return token

    def _need(self, sign: str) -> None:
        if self._take(sign) is None:
            self._wrong(f"{sign!r} is missing")

    def _node(self, made: Expression) -> Expression:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            wrong(f"more than {MAX_NODES} parts: split it over several steps", made.at, self._field)
        return made

    def _deeper(self, change: int) -> None:
        self._depth += change
        if self._depth > MAX_DEPTH:
            self._wrong(f"nested more than {MAX_DEPTH} deep")

    def _or(self) -> Expression:
        left = self._and()
        while token := self._take("or", kind="name"):
            left = self._node(Binary("or", left, self._and(), token.at))
        return left

    def _and(self) -> Expression:
        left = self._not()
        while token := self._take("and", kind="name"):
            left = self._node(Binary("and", left, self._not(), token.at))
        return left

    def _not(self) -> Expression:
        token = self._take("not", kind="name")
        if token is None:
            return self._comparison()
        self._deeper(1)
        made = self._node(Unary("not", self._not(), token.at))
        self._deeper(-1)
        return made

    def _comparison(self) -> Expression:
        left = self._level(0)
        token = self._take(*COMPARISONS)
        if token is None:
            return left
        made = self._node(Binary(token.value, left, self._level(0), token.at))
        if self._token.value in COMPARISONS and self._token.kind == "sign":
            self._wrong("comparisons do not chain: join them with `and`")
        return made

    def _level(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._minus()
        left = self._level(level + 1)
        while token := self._take(*_LEVELS[level]):
            left = self._node(Binary(token.value, left, self._level(level + 1), token.at))
        return left

    def _minus(self) -> Expression:
        token = self._take("-", "+")
        if token is None:
            return self._power()
        self._deeper(1)
        operand = self._minus()
        self._deeper(-1)
        return operand if token.value == "+" else self._node(Unary("-", operand, token.at))

    def _power(self) -> Expression:
        left = self._atom()
        token = self._take("**")
        if token is None:
            return left
        self._deeper(1)
        made = self._node(Binary("**", left, self._minus(), token.at))
        self._deeper(-1)
        return made

    def _atom(self) -> Expression:
        token = self._token
        self._next += token.kind != "end"
        if token.kind == "number":
            return self._node(Constant(self._number(token), token.at))
        if token.kind == "text":
            return self._node(Constant(token.value, token.at))
        if token.kind == "quoted":
            check_column_name(token.value, field=self._field)
            return self._node(Name(token.value, token.at))
        if token.kind == "name":
            return self._word(token)
        if token.value == "(" and token.kind == "sign":
            return self._inside()
        return wrong("a value is missing", token.at, self._field)

    def _number(self, token: Token) -> int | float:
        if not token.value.isdigit():
            number = float(token.value)
            return number if math.isfinite(number) else wrong("the number is too large", token.at, self._field)
        if len(token.value) > MAX_NUMBER_DIGITS:
            wrong(f"a whole number has at most {MAX_NUMBER_DIGITS} digits", token.at, self._field)
        return int(token.value)

    def _word(self, token: Token) -> Expression:
        if self._take("("):
            return self._call(token)
        if token.value in _WORDS:
            return self._node(Constant(_WORDS[token.value], token.at))
        if token.value in {"and", "or", "not"}:
            wrong(f"a value is missing before {token.value!r}", token.at, self._field)
        check_column_name(token.value, field=self._field)
        return self._node(Name(token.value, token.at))

    def _call(self, token: Token) -> Expression:
        bounds = FUNCTIONS.get(token.value)
        if bounds is None:
            return wrong(
                f"there is no function {token.value!r}; there are {', '.join(FUNCTIONS)}", token.at, self._field
            )
        arguments = [self._argument()]
        while self._take(","):
            arguments.append(self._argument())
        self._need(")")
        least, most = bounds
        if not least <= len(arguments) <= most:
            takes = f"{least}" if least == most else f"{least} to {most}"
            wrong(f"{token.value}() takes {takes} values, not {len(arguments)}", token.at, self._field)
        return self._node(Call(token.value, tuple(arguments), token.at))

    def _inside(self) -> Expression:
        made = self._argument()
        self._need(")")
        return made

    def _argument(self) -> Expression:
        self._deeper(1)
        made = self._or()
        self._deeper(-1)
        return made
