"""What the orchestrator is told by its environment, beyond what every process of the mesh is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from automesh.mesh.settings import MeshSettings
from services.orchestrator.domain.lease import Terms


class Settings(MeshSettings):
    """Durations end in `_s` and are seconds."""

    service: str = "orchestrator"
    postgres_dsn: SecretStr = Field(description="the database; the orchestrator uses its schema `orchestrator`")
    redis_url: SecretStr = Field(
        SecretStr(""), description="live hints between replicas; empty: this is the only one, or polling will do"
    )
    keyring_file: Path = Field(description="the keys that seal inputs, results and artifacts, and sign lease tokens")
    blobs_url: str = Field(
        "", description="where artifacts are kept: a folder or s3://, gs://, az://; empty: state_dir"
    )
    database_connections: int = Field(10, ge=3, description="connections to the database at most")
    queue_limit: int = Field(1000, ge=1, description="tasks of one tenant that may wait at the same time")
    max_artifact_bytes: int = Field(256 * 1024 * 1024, ge=1, description="larger files are refused")
    lease_ttl_s: float = Field(15.0, ge=0.5, le=3600, description="a lease that hears nothing for so long is given on")
    heartbeat_s: float = Field(5.0, ge=0.1, le=600, description="agents send a frame at least this often")
    offer_s: float = Field(2.0, ge=0.1, le=60, description="a lease that is not accepted within this goes back")

    @model_validator(mode="after")
    def _check_beats(self) -> Self:
        if self.heartbeat_s > self.lease_ttl_s / 2:  # agents that beat as told could not keep a lease
            raise ValueError("AUTOMESH_HEARTBEAT_S must be at most half of AUTOMESH_LEASE_TTL_S")
        return self

    def terms(self) -> Terms:
        """The times of leases."""
        return Terms(
            lease_ttl=timedelta(seconds=self.lease_ttl_s),
            heartbeat=timedelta(seconds=self.heartbeat_s),
            offer_for=timedelta(seconds=self.offer_s),
        )
