"""What the doc service is told by its environment, beyond what every process of the mesh is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from automesh.mesh.settings import MeshSettings
from automesh.outbound.webhooks import usable

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
    doc_search_engine: Literal["tantivy", "postgres"] = Field(
        "tantivy", description="what answers searches: an index in state_dir, or the database alone"
    )
    doc_jobs_at_once: int = Field(
        2, ge=1, le=32, description="imports, exports and backups that a replica works on at once"
    )
    doc_max_import_bytes: int = Field(512 * MIB, ge=1024, description="larger archives and git bundles are refused")
    doc_max_unpacked_bytes: int = Field(2 * GIB, ge=1024, description="an archive that unpacks to more is refused")
    doc_keep_exports_s: float = Field(86_400, ge=60, description="the file of an export can be downloaded for so long")
    doc_backup_url: str = Field(
        "", description="where backups are kept: a folder or s3://, gs://, az://; empty: state_dir/backups"
    )
    doc_backup_every_s: float = Field(0, ge=0, description="a backup of each tenant comes by itself so often; 0: never")
    doc_backup_keep: int = Field(14, ge=1, description="backups that came by themselves and are kept")
    doc_editing_idle_s: float = Field(
        10.0, gt=0, le=600, description="what is edited together becomes a revision after so long without a change"
    )
    doc_editing_keep_s: float = Field(
        86_400, ge=60, description="rooms of live editing that nobody has used for so long are forgotten"
    )
    doc_webhook_allow_list: Annotated[list[str], AfterValidator(usable)] = Field(
        [], description="webhooks of spaces must begin with one of these URLs, as a JSON list; empty: there are none"
    )
    doc_webhook_timeout_s: float = Field(
        10.0, gt=0, le=60, description="a receiver of a space's webhooks must answer within this"
    )
    doc_webhook_ca_file: Path | None = Field(
        None, description="a CA of receivers of spaces' webhooks beside those the system trusts"
    )

    doc_site_host: str = Field("127.0.0.1", description="where readers of published sites are listened for")
    doc_site_port: int = Field(
        8081,
        ge=0,
        le=65535,
        description="where readers of published sites are listened for; 0: this process serves none",
    )
    doc_site_url: str = Field(
        "", description="the published sites as readers write their address; empty: made of host and port"
    )
    doc_site_preview_url: str = Field(
        "", description="releases by themselves, https://{release}.previews.example.com; empty: below doc_site_url"
    )
    doc_site_certificate_file: Path | None = Field(
        None, description="PEM chain of the sites' certificate; empty: plain HTTP, for loopback or behind a proxy"
    )
    doc_site_key_file: Path | None = Field(None, description="PEM key of the sites' certificate")
    doc_site_trust_forwarded: bool = Field(
        False, description="true: a proxy in front sets X-Forwarded-For and X-Forwarded-Host"
    )
    doc_site_link_ttl_s: float = Field(
        3600.0, gt=0, le=30 * 86_400, description="links to previews and to sites that are not public open for so long"
    )
    doc_site_build_limit_s: float = Field(600.0, gt=0, le=1800, description="a site must be built within this")
    doc_site_build_memory_bytes: int = Field(
        4 * GIB, ge=256 * MIB, description="address space of the program that builds a site"
    )

    @field_validator("doc_site_preview_url")
    @classmethod
    def _check_preview_url(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^/]*\{release\}[^/]*/?", url):
            raise ValueError("must be like https://{release}.previews.example.com")
        return url

    @model_validator(mode="after")
    def _check_site_certificate(self) -> Self:
        if (self.doc_site_certificate_file is None) != (self.doc_site_key_file is None):
            raise ValueError("AUTOMESH_DOC_SITE_CERTIFICATE_FILE and AUTOMESH_DOC_SITE_KEY_FILE belong together")
        return self
