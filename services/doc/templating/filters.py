"""What templates can do with values, beside what Jinja brings along. Values are JSON: days are texts, "2026-11-26"."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

LONGEST_SLUG = 80
_APART = re.compile(r"[^\w]+|_+")


def slug(value: object) -> str:
    """For paths: "Use a Cache!" becomes "use-a-cache"."""
    folded = unicodedata.normalize("NFKD", str(value).casefold())
    letters = "".join(char for char in folded if not unicodedata.combining(char))
    return _APART.sub("-", letters).strip("-")[:LONGEST_SLUG].strip("-")


def day(value: object, form: str = "%Y-%m-%d") -> str:
    """A day in another form, as strftime has them: {{ today | date("%d %B %Y") }}."""
    return _day(value).strftime(form)


def days(value: object, count: int) -> str:
    """So many days later: {{ today | days(90) }}."""
    return (_day(value) + timedelta(days=count)).isoformat()


def _day(value: object) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{str(value)[:40]!r} is no day such as 2026-11-26") from None


def bullets(values: Iterable[object], mark: str = "-") -> str:
    """A list, one line each."""
    return "\n".join(f"{mark} {value}" for value in values)


def checklist(values: Iterable[object]) -> str:
    """A list to be ticked off."""
    return bullets(values, "- [ ]")


def numbered(values: Iterable[object]) -> str:
    """A list with numbers."""
    return "\n".join(f"{number}. {value}" for number, value in enumerate(values, start=1))


def quote(value: object) -> str:
    """A quotation in Markdown."""
    return "\n".join(f"> {line}".rstrip() for line in str(value).splitlines())


def cell(value: object) -> str:
    """Fit for a table: on one line, bars escaped."""
    return " ".join(str(value).split()).replace("|", "\\|")


def yaml(value: object) -> str:
    """Fit for front matter, whatever is in it: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "bullets": bullets,
    "cell": cell,
    "checklist": checklist,
    "date": day,
    "days": days,
    "numbered": numbered,
    "quote": quote,
    "slug": slug,
    "yaml": yaml,
}
