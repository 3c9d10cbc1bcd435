"""What the doc service is told by its environment, beyond what every process of the mesh is told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from automesh.mesh.settings import MeshSettings

MIB = 1024**2
GIB = 1024**3


class Settings(MeshSettings):
    """Durations end in `_s` and are seconds."""

    service: str = "doc"
    postgres_dsn: SecretStr = Field(description="the database; the doc service uses its schema `doc`")
    keyring_file: Path = Field(description="the keys that seal documents, drafts, attachments and backups")
    redis_url: SecretStr = Field(SecretStr(""), description="Redis, for caches and wake-ups; empty: in this process")
    blobs_url: str = Field(
        "", description="where attachments are kept: a folder or s3://, gs://, az://; empty: state_dir"
    )
    database_connections: int = Field(10, ge=3, description="connections to the database at most")
    doc_max_page_bytes: int = Field(
        2 * MIB, ge=1024, le=4 * MIB, description="larger documents are refused: divide them"
    )
    doc_max_attachment_bytes: int = Field(64 * MIB, ge=1, description="larger pictures and files are refused")
    doc_attachment_quota: int = Field(64 * GIB, ge=0, description="bytes that the attachments of one tenant may take")
    doc_max_drafts: int = Field(200, ge=1, description="drafts that one person may keep")
    doc_draft_ttl_s: float = Field(
        90 * 86_400, gt=0, description="drafts that were not saved for so long are forgotten"
    )
    doc_keep_searches_s: float = Field(
        6 * 3600, ge=60, description="searches are kept one by one for so long, then only counted"
    )
    doc_keep_days: int = Field(
        90, ge=1, le=730, description="views and queries are counted by the day for so many days"
    )
