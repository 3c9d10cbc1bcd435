"""Names that point at versions, such as "champion". Pure."""

from __future__ import annotations

import re

from automesh.core.errors import ValidationError

_ALIAS = re.compile(r"(?![0-9]+$)[a-z0-9][a-z0-9-]{0,39}")


def check_alias(alias: str, *, field: str = "alias") -> None:
    """Raises ValidationError unless `alias` is one; versions are numbers, so a number is none."""
    if not _ALIAS.fullmatch(alias):
        raise ValidationError(
            f"{field}: {alias[:60]!r} is not 1 to 40 lower-case letters, digits and inner '-', a letter among them, "
            "such as champion",
            field=field,
        )
