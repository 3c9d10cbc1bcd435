"""Tenants: the walls between the people of one stack."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TypeAlias

from automesh.core.errors import ValidationError

DEFAULT_TENANT = "default"
_SHAPE = re.compile(r"[a-z0-9](?:-?[a-z0-9]){0,30}")  # no "--": it parts the tenant from the name in client identities


class EveryTenant(Enum):
    """A type of its own, so that no text out of a request ever means all tenants."""

    EVERY = auto()


EVERY_TENANT = EveryTenant.EVERY
Scope: TypeAlias = str | EveryTenant
"""Which rows a use case may see: those of one tenant, or all."""


def checked_tenant(tenant_id: str, *, field: str) -> str:
    """The id itself. Raises ValidationError for one that cannot be."""
    if not _SHAPE.fullmatch(tenant_id):
        raise ValidationError(
            f"{tenant_id!r} is not a tenant id: use 1 to 31 of a-z and 0-9, with single dashes inside",
            field=field,
            tenantId=tenant_id,
        )
    return tenant_id
