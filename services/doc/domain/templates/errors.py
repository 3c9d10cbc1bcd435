"""What can go wrong with templates.

DocError > TemplateReadOnly, TemplatesFull;  Stale > TemplateChanged
NotFound > TemplateNotFound;  AlreadyExists > TemplateTaken
ValidationError > TemplateTooCostly;  Exhausted > TemplatesBusy
"""

from __future__ import annotations

from automesh.core.errors import AlreadyExists, Exhausted, NotFound, ValidationError
from services.doc.domain.errors import DocError, Stale


class TemplateReadOnly(DocError):
    """The library's templates cannot be changed."""

    reason = "TEMPLATE_READ_ONLY"


class TemplatesFull(DocError):
    """The space has as many templates as are kept of one."""

    reason = "TEMPLATES_FULL"


class TemplateChanged(Stale):
    """The template is not what its etag says any more."""

    reason = "TEMPLATE_CHANGED"


class TemplateNotFound(NotFound):
    """No such template, or one of a space that the caller may not see."""

    reason = "TEMPLATE_NOT_FOUND"


class TemplateTaken(AlreadyExists):
    """The space has a template of that name."""

    reason = "TEMPLATE_TAKEN"


class TemplateTooCostly(ValidationError):
    """Filling it in takes more time, memory or room than a template may have."""

    reason = "TEMPLATE_TOO_COSTLY"


class TemplatesBusy(Exhausted):
    """More templates wait to be filled in than are kept waiting."""

    reason = "TEMPLATES_BUSY"


def template_not_found(template_id: str) -> TemplateNotFound:
    """With what to do."""
    return TemplateNotFound(
        f"there is no template {template_id[:80]!r}: list the templates to find one", templateId=template_id
    )
