"""Rules of a space, as they are checked before they are kept."""

from __future__ import annotations

from services.doc.domain.spaces.space import Rules
from services.doc.domain.validation.catalogue import check_levels


def check_rules(rules: Rules) -> None:
    """Raises ValidationError for levels of unknown rules, and for a schema of front matter that is not usable."""
    check_levels(rules.levels)
    if rules.front_matter_schema:
        from services.doc.domain.validation.schema import check_schema  # noqa: PLC0415  # heavy, and few spaces have one

        check_schema(rules.front_matter_schema)
