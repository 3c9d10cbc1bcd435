"""What auth is told by its environment, beyond what every process of the mesh is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from automesh.mesh.settings import MeshSettings


class Settings(MeshSettings):
    """Settings of the serving process and of `reset-admin`. Durations are ISO 8601 ("PT5M") or seconds."""

    service: str = "auth"
    postgres_dsn: SecretStr = Field(description="the database; auth keeps its things in the schema `auth`")
    keyring_file: Path = Field(description="the keys that seal signing keys; made by `init`")
    leaf_lifetime: timedelta = Field(timedelta(hours=24), description="life of a service's certificate")
    client_certificate_lifetime: timedelta = Field(
        timedelta(hours=24), le=timedelta(hours=24), description="life of the certificate of a person's tool"
    )
    signing_key_lifetime: timedelta = Field(
        timedelta(hours=24), ge=timedelta(minutes=15), description="after this another key signs access tokens"
    )
    refresh_idle: timedelta = Field(timedelta(days=7), description="an unused refresh token ends after this")
    refresh_total: timedelta = Field(timedelta(days=30), description="a sign-in ends after this, whatever is used")
    password_threads: int = Field(2, ge=1, le=64, description="passwords hashed at the same time, 19 MiB each")
    password_queue: int = Field(32, ge=0, description="passwords waiting to be hashed; beyond it RESOURCE_EXHAUSTED")
    control_hosts: str = Field("localhost,127.0.0.1,::1", description="further names in control's certificate")
    database_connections: int = Field(10, ge=2, description="connections to the database at most")


class InitSettings(BaseSettings):
    """Settings of `init`, which runs before there is any database. Command-line options go first."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="AUTOMESH_", extra="ignore")

    environment: str = Field("dev", description="the /ns/ part of every SPIFFE id")
    trust_domain: str = Field("automesh.local", description="the trust domain of every SPIFFE id")
    state_dir: Path = Field(Path(".automesh"), description="where everything is made")
    keyring_file: Path | None = Field(None, description="where the sealing keys are; empty: secrets/ of state_dir")
    leaf_lifetime: timedelta = Field(timedelta(hours=24), description="life of the first certificates")
    issuer_lifetime: timedelta = Field(timedelta(days=90), description="life of the issuing intermediate")
    control_hosts: str = Field("localhost,127.0.0.1,::1", description="names in control's certificate")
    web_hosts: str = Field("localhost,127.0.0.1,::1", description="names in the gateway's web certificate")
