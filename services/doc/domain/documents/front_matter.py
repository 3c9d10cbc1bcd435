"""Front matter: YAML between "---" lines at the top of a document, within bounds."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from automesh.core.errors import ValidationError

MAX_BYTES = 64 * 1024
MAX_NODES = 5_000
MAX_DEPTH = 20
MAX_BITS = 1_000
"""Of a whole number."""
FENCE = "---"
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What stands at the top; `body_line` is the line, from 0, at which the document itself begins."""

    values: Mapping[str, Any] = field(default_factory=dict)
    body_line: int = 0

    def text(self, name: str) -> str:
        """A value that is a text; empty for any other."""
        value = self.values.get(name)
        return value.strip() if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, or one text with commas."""
        value = self.values.get(name)
        listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
        return tuple(dict.fromkeys(each.strip() for each in map(str, listed) if each.strip()))


class _Bounded(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """YAML's plain types only, without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not allowed here", problem_mark=self.peek_event().start_mark
            )
        self.nodes = getattr(self, "nodes", 0) + 1
        self.depth = getattr(self, "depth", 0) + 1
        if self.nodes > MAX_NODES or self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MAX_NODES} values or {MAX_DEPTH} levels", problem_mark=self.peek_event().start_mark
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read(content: str) -> FrontMatter:
    """Raises ValidationError, with the line, for front matter that is not understood. None at all is fine."""
    block = _block(content)
    if block is None:
        return FrontMatter()
    text, body_line = block
    if len(text.encode()) > MAX_BYTES:
        raise ValidationError(f"the front matter has more than {MAX_BYTES} bytes", field="content")
    try:
        values = yaml.load(text, _Bounded)  # noqa: S506 - derives from SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        raise ValidationError(
            f"front matter, line {line}: {error.problem or error.context}", field="content"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValidationError(
            f"front matter is no YAML: {str(error).splitlines()[0][:200]}", field="content"
        ) from error
    if values is None:
        return FrontMatter({}, body_line)
    if not isinstance(values, dict):
        raise ValidationError(
            f"front matter must be names with values, for example `title: Start`, not a {type(values).__name__}",
            field="content",
        )
    return FrontMatter(_plain(values), body_line)


def body_of(content: str) -> str:
    """The document without its front matter, whether that is understood or not."""
    block = _block(content)
    return content if block is None else "\n".join(content.split("\n")[block[1] :])


def _block(content: str) -> tuple[str, int] | None:
    if not content.startswith((f"{FENCE}\n", f"{FENCE}\r\n")):
        return None
    lines = content.split("\n")
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() in {FENCE, "..."}:
            return "\n".join(lines[1:number]) + "\n", number + 1
    return None


def _plain(value: Any) -> Any:
    """As JSON has it: dates become text, numbers that JSON lacks become text as well."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(str(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(each) for each in value]
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, int | float):
        return _number(value)
    return value.hex() if isinstance(value, bytes) else value


def _number(value: float) -> float | str:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValidationError(f"front matter has a whole number of more than {MAX_BITS} bits", field="content")
    return value if math.isfinite(value) else str(value)


def _text(value: str) -> str:
    """YAML can write characters that no text has: "\\0" and "\\ud83d"."""
    if found := _NO_TEXT.search(value):
        raise ValidationError(
            f"front matter has U+{ord(found[0]):04X}, which is no character by itself: leave it out", field="content"
        )
    return value
