"""What is asked of the task type `documentation`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from automesh.core.errors import ValidationError

MAX_NAME = 200
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_TEXTS = ("space", "branch", "prefix", "message", "package", "path")
_SWITCHES = ("private", "delete_missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentationRequest:
    """`path` is the source root that holds the package; empty for one that is installed beside the agent."""

    space: str
    package: str
    prefix: str = ""
    path: str = ""
    private: bool = False

    @classmethod
    def from_input(cls, given: Mapping[str, Any]) -> Self:
        """From a task's input. Raises ValidationError naming the field."""
        if unknown := sorted(set(given) - {*_TEXTS, *_SWITCHES}):
            raise ValidationError(
                f"documentation knows no input {unknown[0]!r}, only {', '.join(sorted({*_TEXTS, *_SWITCHES}))}",
                field=f"task.input.{unknown[0]}",
            )
        texts = {name: _text(given, name) for name in _TEXTS}
        switches = {name: _switch(given, name) for name in _SWITCHES}
        if not texts["space"]:
            raise ValidationError("space is missing: where shall the documentation go?", field="task.input.space")
        package = texts["package"]
        if len(package) > MAX_NAME or not _MODULE.fullmatch(package):
            raise ValidationError(
                f"{package[:MAX_NAME]!r} is no name of a package or module such as packaging.version",
                field="task.input.package",
            )
        return cls(
            space=texts["space"],
            package=package,
            prefix=texts["prefix"],
            path=texts["path"],
            private=switches["private"],
        )


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name) or ""
    if not isinstance(value, str):
        raise ValidationError(f"{name} must be a text", field=f"task.input.{name}")
    return value


def _switch(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise ValidationError(f"{name} must be true or false", field=f"task.input.{name}")
    return value
