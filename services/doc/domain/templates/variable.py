"""What a template asks for, and whether what is given will do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, TypeAlias

from automesh.core.errors import FieldViolation, ValidationError

Value: TypeAlias = str | int | float | bool | list[str]

GIVEN = ("space", "today", "user")
"""Names that every template knows."""
MAX_LABEL, MAX_HELP, MAX_CHOICES, MAX_ITEMS = 200, 2_000, 100, 500
MAX_LINE, MAX_TEXT = 2_000, 64 * 1024
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_WORDS_OF_JINJA = frozenset({
    *("true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else", "elif", "for"),
    *("loop", "self", "super", "caller", "varargs", "kwargs", "range", "dict", "namespace", "set", "block", "macro"),
    *("call", "filter", "do", "with", "import", "from", "include", "extends", "recursive", "ignore", "missing"),
})  # fmt: skip


class VariableType(StrEnum):
    """What a variable holds."""

    STRING = "STRING"
    TEXT = "TEXT"
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    CHOICE = "CHOICE"
    LIST = "LIST"
    USER = "USER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """Something that is asked for. `default` is None when there is none."""

    name: str
    type: VariableType = VariableType.STRING
    label: str = ""
    help: str = ""
    required: bool = False
    default: Value | None = None
    choices: Sequence[str] = ()

    def __post_init__(self) -> None:
        if wrong := self._wrong():
            raise ValidationError(f"the variable {self.name[:80]!r} {wrong}", field="template.variables")
        if self.default is not None:
            try:
                checked(self, self.default)
            except ValueError as error:
                raise ValidationError(
                    f"the default of the variable {self.name!r} {error}", field="template.variables"
                ) from error

    def _wrong(self) -> str:
        wrong = ""
        if not _NAME.fullmatch(self.name):
            wrong = "needs another name: a letter, then letters, digits and _, at most 64"
        elif self.name in GIVEN:
            wrong = f"needs another name: {', '.join(GIVEN)} are given to every template"
        elif self.name in _WORDS_OF_JINJA:
            wrong = "needs another name: this is a word of the template language"
        elif len(self.label) > MAX_LABEL or len(self.help) > MAX_HELP:
            wrong = f"has a label of more than {MAX_LABEL} or a help of more than {MAX_HELP} characters"
        elif (self.type is VariableType.CHOICE) != bool(self.choices):
            wrong = "needs choices" if self.type is VariableType.CHOICE else "has choices, but is no CHOICE"
        elif len(self.choices) > MAX_CHOICES or any(not _is_line(each) or not each for each in self.choices):
            wrong = f"has more than {MAX_CHOICES} choices, or one that is no line of text"
        elif len(set(self.choices)) < len(self.choices):
            wrong = "has the same choice twice"
        return wrong

    @property
    def empty(self) -> Value:
        """What it is when nobody says anything."""
        return _EMPTY.get(self.type, "")


def filled(variables: Sequence[Variable], values: Mapping[str, Any]) -> dict[str, Value]:
    """A value for every variable. Raises ValidationError that names all that are wrong."""
    violations: list[FieldViolation] = []
    known = {variable.name: variable for variable in variables}
    for name in values.keys() - known.keys():
        there = ", ".join(known) or "none"
        violations.append(
            FieldViolation(f"values.{name[:80]}", f"there is no variable {name[:80]!r}; there are {there}")
        )
    made: dict[str, Value] = {}
    for name, variable in known.items():
        try:
            made[name] = _value(variable, values.get(name))
        except ValueError as error:
            violations.append(FieldViolation(f"values.{name}", f"{name!r} {error}"))
    if violations:
        told = "; ".join(violation.description for violation in violations[:3])
        more = f"; and {len(violations) - 3} more" if len(violations) > 3 else ""  # noqa: PLR2004 - as above
        raise ValidationError(f"{told}{more}", violations=violations)
    return made


def _value(variable: Variable, given: Any) -> Value:
    if given is not None and not _is_blank(given):
        return checked(variable, given)
    if variable.default is not None and given is None:
        return checked(variable, variable.default)
    if variable.required:
        label = f" ({variable.label})" if variable.label else ""
        raise ValueError(f"is required{label}")
    return variable.empty if given is None or variable.type is not VariableType.TEXT else str(given)


def _is_blank(given: Any) -> bool:
    return given == [] or (isinstance(given, str) and not given.strip())


def checked(variable: Variable, given: Any) -> Value:
    """The value as the template gets it. Raises ValueError that says what it must be."""
    return _CHECKS[variable.type](variable, given)


def _line(_: Variable, given: Any) -> Value:
    if not isinstance(given, str) or not _is_line(given):
        raise ValueError(f"must be a line of text, at most {MAX_LINE} characters")
    return given.strip()


def _text(_: Variable, given: Any) -> Value:
    if not isinstance(given, str) or len(given) > MAX_TEXT or "\x00" in given:
        raise ValueError(f"must be a text, at most {MAX_TEXT} characters, none of them NUL")
    return given


def _number(_: Variable, given: Any) -> Value:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError("must be a number")
    return int(given) if given == int(given) else given


def _boolean(_: Variable, given: Any) -> Value:
    if not isinstance(given, bool):
        raise ValueError("must be true or false")
    return given


def _day(_: Variable, given: Any) -> Value:
    try:
        return date.fromisoformat(str(given)).isoformat()
    except ValueError:
        raise ValueError("must be a day such as 2026-11-26") from None


def _choice(variable: Variable, given: Any) -> Value:
    if given not in variable.choices:
        raise ValueError(f"must be one of {', '.join(variable.choices)}")
    return str(given)


def _list(_: Variable, given: Any) -> Value:
    if not isinstance(given, list) or len(given) > MAX_ITEMS:
        raise ValueError(f"must be a list of at most {MAX_ITEMS} lines")
    if any(not isinstance(each, str) or not _is_line(each) for each in given):
        raise ValueError(f"must be a list of lines of text, at most {MAX_LINE} characters each")
    return [each.strip() for each in given if each.strip()]


def _is_line(text: str) -> bool:
    return len(text) <= MAX_LINE and len(text.splitlines()) <= 1 and "\x00" not in text


_CHECKS: Mapping[VariableType, Callable[[Variable, Any], Value]] = {
    VariableType.STRING: _line,
    VariableType.TEXT: _text,
    VariableType.NUMBER: _number,
    VariableType.BOOLEAN: _boolean,
    VariableType.DATE: _day,
    VariableType.CHOICE: _choice,
    VariableType.LIST: _list,
    VariableType.USER: _line,
}
_EMPTY: Mapping[VariableType, Value] = {
    VariableType.NUMBER: 0,
    VariableType.BOOLEAN: False,
    VariableType.LIST: [],
}
