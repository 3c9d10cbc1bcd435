"""Rows of sites and releases as the domain knows them."""

from __future__ import annotations

from automesh.storage.postgres import Record
from services.doc.domain.publishing.site import (
    Release,
    ReleaseFile,
    ReleaseState,
    Site,
    SiteChoices,
    SiteSwitch,
)

RELEASE = """
SELECT r.*, s.current IS NOT DISTINCT FROM r.release_id AS is_current
  FROM release r JOIN site s USING (tenant_id, space)
"""


def site(row: Record) -> Site:
    """A whole row."""
    choices = SiteChoices(
        title=row["title"],
        theme=row["theme"],
        accent=row["accent"],
        auto_publish=row["auto_publish"],
        keep=row["keep"],
        public=row["public"],
    )
    return Site(
        tenant_id=row["tenant_id"],
        space=row["space"],
        choices=choices,
        paused=row["paused"],
        current=row["current"] or "",
        edition=row["edition"],
        updated_at=row["updated_at"],
    )


def release(row: Record) -> Release:
    """A row of RELEASE."""
    return Release(
        release_id=row["release_id"],
        tenant_id=row["tenant_id"],
        space=row["space"],
        branch=row["branch"],
        preview=row["preview"],
        automatic=row["automatic"],
        state=ReleaseState.CURRENT if row["is_current"] else ReleaseState(row["state"]),
        digest=row["digest"],
        pages=row["pages"],
        files=row["files"],
        size=row["size"],
        created_by=row["created_by"],
        message=row["message"],
        failure=row["failure"],
        checks=tuple(row["checks"]),
        step=row["step"],
        fraction=row["fraction"],
        attempt=row["attempt"],
        created_at=row["created_at"],
        published_at=row["published_at"],
    )


def switch(row: Record) -> SiteSwitch:
    """A whole row."""
    return SiteSwitch(
        number=row["number"],
        release_id=row["release_id"],
        previous=row["previous"],
        actor=row["actor"],
        reason=row["reason"],
        rollback=row["rollback"],
        switched_at=row["switched_at"],
    )


def file(row: Record) -> ReleaseFile:
    """A row of release_file with the size of its content."""
    return ReleaseFile(
        path=row["path"],
        sha256=row["sha256"],
        size=row["size"],
        content_type=row["content_type"],
        attachment=row["attachment"],
        location=row["location"],
        document=row["document"],
    )
