"""Request headers, read once per request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.refusals import HeadersTooLarge


class Headers:
    """Names in lower case. Repeated headers are joined with a comma, as RFC 9110 5.3 allows."""

    __slots__ = ("_values",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]], *, limit: int) -> None:
        values: dict[str, str] = {}
        size = 0
        for name_bytes, value_bytes in raw:
            size += len(name_bytes) + len(value_bytes)
            name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1")
            values[name] = f"{values[name]},{value}" if name in values else value
        if size > limit:
            raise HeadersTooLarge(
                f"the request headers have {size} bytes; the limit is {limit}", size=size, limit=limit
            )
        self._values = values

    def get(self, name: str, default: str = "") -> str:
        """The value; `default` when the header is not there."""
        return self._values.get(name, default)

    def items(self) -> Iterator[tuple[str, str]]:
        """All of them."""
        return iter(self._values.items())

    def accepts(self, media_type: str) -> bool:
        """Whether Accept names the type itself (not by a wildcard)."""
        return any(part.partition(";")[0].strip().lower() == media_type for part in self.get("accept").split(","))

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters, in lower case; empty when there is none."""
        return self.get("content-type").partition(";")[0].strip().lower()
