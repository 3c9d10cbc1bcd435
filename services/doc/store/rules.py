"""Rules of a space as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from services.doc.domain.spaces.space import REVIEW_AFTER, TRASH_FOR, Level, Rules


def to_json(rules: Rules) -> dict[str, Any]:
    """Durations in seconds."""
    return {
        "required_approvals": rules.required_approvals,
        "front_matter_schema": dict(rules.front_matter_schema),
        "levels": dict(rules.levels),
        "words": list(rules.words),
        "trash_retention_s": rules.trash_retention.total_seconds(),
        "review_after_s": rules.review_after.total_seconds(),
        "anonymous_analytics": rules.anonymous_analytics,
    }


def of_json(kept: Mapping[str, Any]) -> Rules:
    """What is missing is as by default."""
    return Rules(
        required_approvals=kept.get("required_approvals", 0),
        front_matter_schema=kept.get("front_matter_schema", {}),
        levels={rule: Level(level) for rule, level in kept.get("levels", {}).items()},
        words=tuple(kept.get("words", ())),
        trash_retention=timedelta(seconds=kept.get("trash_retention_s", TRASH_FOR.total_seconds())),
        review_after=timedelta(seconds=kept.get("review_after_s", REVIEW_AFTER.total_seconds())),
        anonymous_analytics=kept.get("anonymous_analytics", False),
    )
