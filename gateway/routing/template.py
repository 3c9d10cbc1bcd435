"""Path templates of google.api.http, parsed: `/v1/{name=shelves/*}/books/{book.id}:archive`.

Template = "/" Segment { "/" Segment } [ ":" verb ]
Segment = "*" | "**" | literal | "{" field.path [ "=" Segment { "/" Segment } ] "}"
`**` matches zero or more segments; literals and `*` may follow it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from automesh.core.errors import AutomationError

STAR = "*"
DOUBLE_STAR = "**"

_VARIABLE = re.compile(r"\{([^{}=]*)(?:=([^{}]*))?\}")
_FIELD_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()+,;=@%-]+")
_VERB = re.compile(r"[A-Za-z0-9._~-]+")


class BadTemplate(AutomationError):
    """A template that does not follow the grammar of google/api/http.proto."""

    reason = "BAD_PATH_TEMPLATE"

    def __init__(self, template: str, why: str) -> None:
        super().__init__(f"the path template {template!r} {why}", template=template)


@dataclass(frozen=True, slots=True)
class Variable:
    """A captured field: segments `start` to `end` (exclusive) of the template."""

    field_path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. Segments are literals, "*" or "**"."""

    text: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]

    @property
    def double_star(self) -> int:
        """Index of the `**` segment; -1 when there is none."""
        return self.segments.index(DOUBLE_STAR) if DOUBLE_STAR in self.segments else -1

    def is_multi(self, variable: Variable) -> bool:
        """Whether the variable may capture more than one segment, which keeps %2F encoded."""
        part = self.segments[variable.start : variable.end]
        return len(part) > 1 or DOUBLE_STAR in part


def parse_template(text: str) -> Template:
    """Raises BadTemplate with what is wrong."""
    if not text.startswith("/"):
        raise BadTemplate(text, "does not begin with '/'")
    path, verb = _split_verb(text)
    segments: list[str] = []
    variables: list[Variable] = []
    for piece in _pieces(text, path[1:]):
        _add_piece(text, piece, segments, variables)
    if segments.count(DOUBLE_STAR) > 1:
        raise BadTemplate(text, "has more than one '**'")
    names = [variable.field_path for variable in variables]
    if len(set(names)) != len(names):
        raise BadTemplate(text, "captures one field twice")
    return Template(text, tuple(segments), verb, tuple(variables))


def _split_verb(text: str) -> tuple[str, str]:
    head, colon, verb = text.rpartition(":")
    if not colon or "/" in verb or "}" in verb:
        return text, ""
    if not _VERB.fullmatch(verb):
        raise BadTemplate(text, f"has the malformed verb {verb!r}")
    return head, verb


def _pieces(text: str, path: str) -> list[str]:
    """Splits at the slashes outside of braces."""
    pieces, depth, start = [], 0, 0
    for at, char in enumerate(path):
        depth += (char == "{") - (char == "}")
        if depth not in (0, 1):
            raise BadTemplate(text, "has braces that do not match, or nested variables")
        if char == "/" and depth == 0:
            pieces.append(path[start:at])
            start = at + 1
    if depth:
        raise BadTemplate(text, "has a brace that is never closed")
    return [*pieces, path[start:]]


def _add_piece(text: str, piece: str, segments: list[str], variables: list[Variable]) -> None:
    if not piece.startswith("{"):
        segments.append(_segment(text, piece))
        return
    match = _VARIABLE.fullmatch(piece)
    if match is None or not _FIELD_PATH.fullmatch(match[1]):
        raise BadTemplate(text, f"has the malformed variable {piece!r}")
    start = len(segments)
    segments.extend(_segment(text, part) for part in (match[2] if match[2] is not None else STAR).split("/"))
    variables.append(Variable(match[1], start, len(segments)))


def _segment(text: str, segment: str) -> str:
    if segment not in (STAR, DOUBLE_STAR) and not _LITERAL.fullmatch(segment):
        raise BadTemplate(text, f"has the malformed segment {segment!r}")
    return segment
