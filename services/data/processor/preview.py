"""The first rows of a part as JSON: moments as RFC 3339, whole numbers beyond 2^53 and numbers JSON lacks as text."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

from services.data.processor.parts import Part

ROWS = 100
MAX_TEXT = 1000
_EXACT = 2**53


def preview(part: Part) -> dict[str, Any]:
    """{"columns": names, "rows": one list of values a row}."""
    head = part.head(ROWS)
    return {"columns": head.columns, "rows": [[_value(value) for value in row] for row in head.rows()]}


def _value(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)[:MAX_TEXT]
