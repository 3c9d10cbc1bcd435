"""Rows of spaces as the domain knows them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from automesh.storage.postgres import Record
from services.doc.domain.spaces.space import MemberRole, Space, Visibility
from services.doc.store import rules


def space(row: Record, members: Mapping[str, str]) -> Space:
    """Of space, with its members."""
    return Space(
        tenant_id=row["tenant_id"],
        space=row["space"],
        title=row["title"],
        description=row["description"],
        visibility=Visibility(row["visibility"]),
        members={user: MemberRole(role) for user, role in members.items()},
        rules=rules.of_json(json.loads(row["rules"])),
        edition=row["edition"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        document_count=row["document_count"],
    )
