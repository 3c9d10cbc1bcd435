"""What the data service is told by its environment, beyond what every process of the mesh is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from automesh.mesh.settings import MeshSettings
from automesh.outbound.allowlist import AllowList
from automesh.outbound.errors import BadAllowList
from services.data.domain.job import Engine, Limits

GIB = 1024**3
OBJECT_STORES = frozenset({"s3", "gs", "az"})


class Settings(MeshSettings):
    """Durations end in `_s` and are seconds."""

    service: str = "data"
    postgres_dsn: SecretStr = Field(description="the database; the data service uses its schema `data`")
    keyring_file: Path = Field(description="the keys that seal datasets, uploads and pipelines")
    blobs_url: str = Field("", description="where datasets are kept: a folder or s3://, gs://, az://; empty: state_dir")
    database_connections: int = Field(10, ge=3, description="connections to the database at most")
    data_engine: Literal["polars", "ray"] = Field(
        "polars", description="what carries pipelines out: Polars on the agent's machine, or Daft on Ray"
    )
    ray_address: str = Field("", description="the Ray cluster for data_engine=ray; empty: one started by the job")
    data_max_upload_bytes: int = Field(4 * GIB, ge=1, description="larger uploads, and files behind URLs, are refused")
    data_max_file_bytes: int = Field(64 * GIB, ge=1, description="larger files of a version are refused")
    data_max_tenant_bytes: int = Field(1024 * GIB, ge=1, description="uploads and datasets of one tenant together")
    data_upload_ttl_s: float = Field(24 * 3600, ge=1, description="an upload that nothing is made of goes after this")
    data_max_rows: int = Field(1_000_000_000, ge=1, description="sources with more rows are refused")
    data_max_columns: int = Field(4096, ge=1, le=4096, description="sources with more columns are refused")
    data_max_cell_bytes: int = Field(1024 * 1024, ge=1, description="sources with a longer text in a cell are refused")
    data_max_source_bytes: int = Field(64 * GIB, ge=1, description="sources with more bytes, unpacked, are refused")
    data_memory_bytes: int = Field(0, ge=0, description="what a processing program may allocate; 0: no limit")
    data_task_timeout_s: float = Field(6 * 3600, ge=1, le=7 * 24 * 3600, description="the longest one attempt may run")
    data_url_allow_list: list[str] = Field(
        [], description="sources behind URLs must begin with one of these, as a JSON list; empty: none may be used"
    )
    data_url_ca_file: Path | None = Field(None, description="a CA of such servers beside those the system trusts")
    data_url_timeout_s: float = Field(900, ge=1, description="fetching a file from a URL may take so long")
    data_conversions: int = Field(2, ge=1, description="downloads that are converted at the same time; more wait")
    data_conversion_timeout_s: float = Field(600, ge=1, description="a conversion may take so long")
    data_follow_after_s: float = Field(15, ge=0.1, description="a version not heard of for so long: its task is asked")

    @field_validator("data_url_allow_list")
    @classmethod
    def _check_allow_list(cls, entries: list[str]) -> list[str]:
        try:
            AllowList.parse(entry for entry in entries if entry.partition("://")[0] not in OBJECT_STORES)
        except BadAllowList as error:
            raise ValueError(error.message) from error
        return entries

    def engine(self) -> Engine:
        """Which engine carries pipelines out."""
        return Engine(name=self.data_engine, ray_address=self.ray_address)

    def limits(self) -> Limits:
        """Bounds of one job."""
        return Limits(
            max_rows=self.data_max_rows,
            max_columns=self.data_max_columns,
            max_bytes=self.data_max_source_bytes,
            max_cell=self.data_max_cell_bytes,
            memory=self.data_memory_bytes,
        )

    def upload_ttl(self) -> timedelta:
        """How long an upload is kept."""
        return timedelta(seconds=self.data_upload_ttl_s)
