"""All rules, by name, and the levels that a space gives them."""

from __future__ import annotations

from collections.abc import Mapping

from automesh.core.errors import ValidationError
from services.doc.domain.spaces.space import Level, Rules
from services.doc.domain.validation import blocks, headings, linking, writing
from services.doc.domain.validation.rule import Rule

BROKEN_LINK, BROKEN_ANCHOR, ORPHAN_PAGE, FRONT_MATTER_SCHEMA = (
    "broken-link", "broken-anchor", "orphan-page", "front-matter-schema",
)  # fmt: skip
_MAX_UNKNOWN = 5

RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in sorted(
        (
            *headings.RULES,
            *linking.RULES,
            *blocks.RULES,
            *writing.RULES,
            Rule(
                name=BROKEN_LINK,
                description="A link within the space leads to a page or an attachment that is there.",
                level=Level.WARN,
            ),
            Rule(
                name=BROKEN_ANCHOR,
                description='What a link says behind "#" is a heading or an id of the page that it leads to.',
                level=Level.WARN,
            ),
            Rule(
                name=ORPHAN_PAGE,
                description="Another page of the space links to this one. Only in reports: new pages are linked later.",
                level=Level.WARN,
            ),
            Rule(
                name=FRONT_MATTER_SCHEMA,
                description="Front matter satisfies rules.front_matter_schema of the space, if it has one.",
                level=Level.REFUSE,
            ),
        ),
        key=lambda rule: rule.name,
    )
}


def levels_of(rules: Rules) -> Mapping[str, Level]:
    """The level of every rule that is not off there."""
    levels = {name: rules.levels.get(name, rule.level) for name, rule in RULES.items()}
    return {name: level for name, level in levels.items() if level is not Level.OFF}


def check_name(name: str, *, field: str) -> None:
    """Raises ValidationError, with the rules there are, for a name that is none of them."""
    if name not in RULES:
        raise ValidationError(f"there is no rule {name[:80]!r}; there are {', '.join(RULES)}", field=field)


def check_levels(levels: Mapping[str, Level]) -> None:
    """Raises ValidationError, with the rules there are, for levels of rules that are not."""
    unknown = sorted(set(levels) - RULES.keys())
    if unknown:
        named = ", ".join(repr(name[:80]) for name in unknown[:_MAX_UNKNOWN])
        raise ValidationError(
            f"there {'is no rule' if len(unknown) == 1 else 'are no rules'} {named}; there are {', '.join(RULES)}",
            field="space.rules.levels",
        )
