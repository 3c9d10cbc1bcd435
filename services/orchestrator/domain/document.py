"""A JSON object that travels as it is: the input and the result of a task. At most 1 MiB as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from automesh.core.errors import ValidationError

MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """Canonical JSON text of an object: equal objects have equal text."""

    json: bytes = b"{}"

    @classmethod
    def of(cls, content: Mapping[str, Any], *, field: str) -> Document:
        """The document of a mapping. Raises ValidationError, naming `field`, when it is too large."""
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        if len(text) > MAX_BYTES:
            raise ValidationError(
                f"{field} is {len(text)} bytes as JSON, more than {MAX_BYTES}: put big data into a dataset or an "
                "artifact and name it here",
                field=field,
                bytes=len(text),
                limit=MAX_BYTES,
            )
        return cls(text)

    def content(self) -> dict[str, Any]:
        """The object itself."""
        content: dict[str, Any] = orjson.loads(self.json)
        return content
