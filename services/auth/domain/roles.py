"""Permissions, the roles that bundle them, and who may give which role to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from automesh.core.errors import PermissionDenied, ValidationError

PERMISSIONS = frozenset(
    {
        "task.create",
        "task.read",
        "task.update",
        "task.delete",
        "task.cancel",
        "work.lease",
        "agent.read",
        "agent.drain",
        "data.read",
        "data.write",
        "data.delete",
        "model.read",
        "model.train",
        "model.write",
        "model.promote",
        "model.predict",
        "model.delete",
        "doc.read",
        "doc.write",
        "doc.delete",
        "doc.review",
        "doc.publish",
        "doc.admin",
        "doc.backup",
        "webhook.read",
        "webhook.write",
        "mesh.read",
        "user.read",
        "user.write",
        "apikey.read",
        "apikey.write",
        "certificate.issue",
        "audit.read",
        "tenant.any",
    }
)
TENANT_ANY = "tenant.any"
"""Reaches every tenant; operators of the stack hold it."""

_OPERATORS_ONLY = frozenset({TENANT_ANY, "agent.drain"})  # agents of the platform work for every tenant
_VIEWER = frozenset(
    {"task.read", "agent.read", "data.read", "model.read", "doc.read", "webhook.read", "mesh.read", "apikey.read"}
)
_WORK = frozenset(permission for permission in PERMISSIONS if permission.startswith(("task.", "data.", "model.")))
_WRITING = frozenset({"doc.write", "doc.delete", "doc.review", "doc.publish"})

ROLES: Mapping[str, frozenset[str]] = {
    "viewer": _VIEWER,
    # Webhooks send what happens here to elsewhere: that is for an admin to decide.
    "developer": _VIEWER | _WORK | _WRITING | {"apikey.write", "certificate.issue"},
    # An agent of somebody's own renews its client certificate every day.
    "agent": frozenset({"work.lease", "task.read", "certificate.issue"}),
    "admin": PERMISSIONS - _OPERATORS_ONLY,
    "operator": PERMISSIONS,
}
ADMIN, OPERATOR = "admin", "operator"


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    """All that the roles allow. A role that no longer exists allows nothing."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def checked_roles(roles: Iterable[str], *, field: str) -> frozenset[str]:
    """The roles as a set. Raises ValidationError for an unknown one."""
    asked = frozenset(roles)
    unknown = sorted(asked - ROLES.keys())
    if unknown:
        known = ", ".join(sorted(ROLES))
        raise ValidationError(f"there is no role {unknown[0]!r}: choose from {known}", field=field, role=unknown[0])
    return asked


def checked_permissions(permissions: Iterable[str], *, field: str) -> frozenset[str]:
    """The permissions as a set. Raises ValidationError for an unknown one."""
    asked = frozenset(permissions)
    unknown = sorted(asked - PERMISSIONS)
    if unknown:
        known = ", ".join(sorted(PERMISSIONS))
        raise ValidationError(
            f"there is no permission {unknown[0]!r}: choose from {known}", field=field, permission=unknown[0]
        )
    return asked


def require_no_more_than(held: frozenset[str], given: frozenset[str], *, what: str) -> None:
    """Nobody gives, or overrules, more than they hold. Raises PermissionDenied naming what is missing."""
    missing = sorted(given - held)
    if missing:
        raise PermissionDenied(
            f"{what} needs permissions that you do not hold: {', '.join(missing)}", missing=",".join(missing)
        )
