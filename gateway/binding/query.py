"""Query strings: parsed strictly, each parameter put into the field that it names."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import Descriptor

from gateway.binding.fields import TextField, field_named, resolve
from gateway.codec.faults import BadValue

MAX_PARAMETERS = 1000
_CACHE_SIZE = 256  # the names come from clients: what is remembered of them is bounded
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """The parameters in their order; `+` is a space. Raises BadValue for malformed escapes and what is not UTF-8."""
    if not query:
        return []
    if _BAD_ESCAPE.search(query):
        raise BadValue("the query holds a '%' that two hexadecimal digits do not follow: write it as %25")
    pairs = [part.partition(b"=") for part in query.split(b"&") if part]
    if len(pairs) > MAX_PARAMETERS:
        raise BadValue(f"the query has more than {MAX_PARAMETERS} parameters")
    return [(_text(key), _text(value)) for key, _, value in pairs]


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise BadValue("the query is not UTF-8 once its escapes are decoded") from None


class QueryBinder:
    """Puts the query of one method's requests into its request message."""

    def __init__(
        self,
        root: Descriptor,
        *,
        from_path: frozenset[tuple[str, ...]],
        body: str,
        ignore_unknown: bool = False,
    ) -> None:
        self._root, self._from_path, self._body = root, from_path, body
        self._ignore_unknown = ignore_unknown
        self._known: dict[str, TextField] = {}

    def fill(self, message: Any, query: bytes) -> None:
        """Raises BadValue with the parameter's name. What the path gives is not taken from the query."""
        seen: set[str] = set()
        for name, text in parse_query(query):
            try:
                field = self._field(name)
                if field is not None and field.path not in self._from_path:
                    _note(field, seen)
                    field.put_into(message, text)
            except BadValue as fault:
                raise fault.under(name[:200]) from None

    def _field(self, name: str) -> TextField | None:
        known = self._known.get(name)
        if known is not None:
            return known
        if self._in_body(name):
            raise BadValue("the request body gives this, so that it cannot be a query parameter")
        try:
            found = resolve(self._root, name)
        except BadValue:
            if self._ignore_unknown:
                return None
            raise
        if len(self._known) < _CACHE_SIZE:
            self._known[name] = found
        return found

    def _in_body(self, name: str) -> bool:
        if self._body == "*":
            return True
        first = field_named(self._root, re.split(r"[.\[]", name, maxsplit=1)[0]) if self._body else None
        return first is not None and first.name == self._body


def _note(field: TextField, seen: set[str]) -> None:
    name = ".".join(field.path)
    if name in seen and not field.repeated:
        raise BadValue("given twice, but the field holds one value")
    seen.add(name)
    for oneof in field.oneofs:
        group = oneof.partition("=")[0]
        if group in seen and oneof not in seen:
            raise BadValue(f"another member of the oneof {group.partition(':')[2]} is given as well")
        seen.update((group, oneof))
