"""Messages of BackupService and the domain."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core import paging
from automesh.doc.v1 import backup_service_pb2 as pb
from automesh.mesh import times
from services.doc.domain.backups.backup import Backup


def backup(found: Backup) -> pb.Backup:
    """The message of a backup."""
    return pb.Backup(
        backup_id=found.backup_id,
        base=found.base,
        create_time=times.timestamp(found.created_at),
        created_by=found.created_by,
        spaces=[
            pb.BackupSpace(
                space=each.space,
                documents=each.documents,
                revisions=each.revisions,
                attachments=each.attachments,
                digest=each.digest,
            )
            for each in found.spaces
        ],
        size=found.size,
        digest=found.digest,
    )


def page(request: pb.ListBackupsRequest) -> tuple[int, str]:
    """How many, and after which one."""
    return paging.page_size(request.page_size), paging.decode_token(request.page_token, filters="backups") or ""


def backups_page(found: Sequence[Backup], request: pb.ListBackupsRequest) -> pb.ListBackupsResponse:
    """A page, the newest first."""
    full = len(found) == paging.page_size(request.page_size)
    token = paging.encode_token(found[-1].backup_id, filters="backups") if full else ""
    return pb.ListBackupsResponse(backups=[backup(each) for each in found], next_page_token=token)
