"""Words of the expression language: texts become tokens, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from automesh.core.errors import ValidationError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<quoted>`[^`]*`)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign>\*\*|==|!=|<=|>=|[-+*/%<>(),])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is number, name, quoted, text, sign or end; `at` counts characters from 0."""

    kind: str
    value: str
    at: int


def tokens(expression: str, *, field: str) -> list[Token]:
    """All tokens and an end. Raises ValidationError where something is no token."""
    found: list[Token] = []
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            _strange(expression, at, field)
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(Token(kind, _value(kind, match.group(), at, field), at))
        at = match.end()
    return [*found, Token("end", "", at)]


def wrong(what: str, at: int, field: str) -> NoReturn:
    """Raises the ValidationError of an expression that is wrong at a place."""
    raise ValidationError(f"{field}: at character {at + 1}: {what}", field=field, at=at + 1)


def _value(kind: str, text: str, at: int, field: str) -> str:
    if kind == "quoted":
        return text[1:-1] or wrong("`` names no column", at, field)
    if kind == "text":
        return re.sub(r"\\(.)", lambda match: _escape(match.group(1), at, field), text[1:-1], flags=re.DOTALL)
    return text


def _escape(letter: str, at: int, field: str) -> str:
    known = _ESCAPES.get(letter)
    return known if known is not None else wrong(f"\\{letter} means nothing in a text", at, field)


def _strange(expression: str, at: int, field: str) -> NoReturn:
    letter = expression[at]
    if letter in "\"'`":
        wrong(f"{letter} is opened and never closed", at, field)
    if letter == "=":
        wrong("= means nothing here: equality is ==", at, field)
    wrong(f"{letter!r} means nothing here", at, field)
