"""Schemas of spaces, made ready once for many pages."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from automesh.core.errors import ValidationError
from services.doc.domain.documents.text import Text
from services.doc.domain.validation.rule import Hit

if TYPE_CHECKING:
    from services.doc.domain.validation.schema import FrontMatterSchema

KEPT = 64
_MOST = "it takes too many steps to check: make the schema of the space simpler"


class SchemaCache:
    """The schemas used last, by what they say."""

    def __init__(self) -> None:
        self._ready: OrderedDict[str, FrontMatterSchema] = OrderedDict()

    def hits(self, schema: Mapping[str, Any], text: Text) -> Iterator[Hit]:
        """What of the front matter does not satisfy the schema."""
        from services.doc.domain.validation.schema import SchemaTooCostly  # noqa: PLC0415  # heavy; few spaces have one

        try:
            errors = self._schema(schema).errors(text.front_matter.values)
        except (SchemaTooCostly, ValidationError) as error:
            yield Hit(1, 0, f"the schema of the space cannot be used ({error}): its owners mend it")
            return
        lines = text.content.split("\n", text.front_matter.body_line)[: text.front_matter.body_line]
        for path, message in errors:
            where = f"front matter, {path}: " if path else "front matter: "
            yield Hit(_line(lines, path.partition(".")[0]), 0, f"{where}{message}")

    def _schema(self, schema: Mapping[str, Any]) -> FrontMatterSchema:
        from services.doc.domain.validation.schema import FrontMatterSchema  # noqa: PLC0415  # the same

        name = json.dumps(schema, sort_keys=True)
        ready = self._ready.pop(name, None) or FrontMatterSchema(schema)
        self._ready[name] = ready
        while len(self._ready) > KEPT:
            self._ready.popitem(last=False)
        return ready


def _line(lines: list[str], name: str) -> int:
    """Where a name of the top level stands; the first line when it does not."""
    for number, line in enumerate(lines, start=1):
        if name and line.startswith((f"{name}:", f'"{name}":', f"'{name}':")):
            return number
    return 1
