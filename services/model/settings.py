"""What the model service is told by its environment, beyond what every process of the mesh is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from automesh.mesh.settings import MeshSettings
from automesh.outbound.webhooks import usable


class Settings(MeshSettings):
    """Durations end in `_s` and are seconds."""

    service: str = "model"
    postgres_dsn: SecretStr = Field(description="the database; the model service uses its schema `model`")
    redis_url: SecretStr = Field(
        SecretStr(""), description="live hints between replicas; empty: this is the only one, or polling will do"
    )
    keyring_file: Path = Field(description="the keys that seal checkpoints, models and the secrets of webhooks")
    blobs_url: str = Field(
        "", description="where checkpoints and models are kept: a folder or s3://, gs://, az://; empty: state_dir"
    )
    database_connections: int = Field(10, ge=3, description="connections to the database at most")
    max_model_file_bytes: int = Field(
        8 * 1024 * 1024 * 1024, ge=1, description="a larger file of a checkpoint or model is refused"
    )
    trainer_silence_s: float = Field(
        120.0, ge=15, le=86_400, description="a trainer that says nothing for so long is killed and started again"
    )
    live_runs: int = Field(1000, ge=1, description="runs of one tenant that may wait or train at the same time")
    points_per_run: int = Field(1_000_000, ge=1000, description="points of a run that are kept; the oldest go first")
    points_kept_days: float = Field(90.0, gt=0, description="points of a run that ended longer ago are removed")
    rendezvous_port: int = Field(
        29_400, ge=1024, le=64_000, description="the first of 1,000 ports where trainings on several nodes meet"
    )
    webhook_url_allow_list: Annotated[list[str], AfterValidator(usable)] = Field(
        [], description="webhooks must begin with one of these URLs, as a JSON list; empty: there are none"
    )
    webhook_timeout_s: float = Field(10.0, gt=0, le=60, description="a receiver of webhooks must answer within this")
    webhook_ca_file: Path | None = Field(None, description="a CA of receivers beside those the system trusts")
    serving_max_models: int = Field(20, ge=1, description="versions that may be in memory to predict")
    serving_max_bytes: int = Field(
        2 * 1024 * 1024 * 1024, ge=1, description="files that versions in memory were loaded from, in sum"
    )
    serving_threads: int = Field(0, ge=0, le=256, description="threads that predict; 0: one for each CPU")
    serving_device: Literal["cpu", "cuda"] = Field(
        "cpu", description="what predicts: ONNX Runtime on the CPU, or torch on a GPU"
    )
