"""What every process of the mesh is told by its environment: AUTOMESH_<NAME>. Read once, in `__main__`."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from automesh.core.ids import new_id

EXIT_REFUSED = 78  # EX_CONFIG of sysexits.h: starting again without a change cannot help

S = TypeVar("S", bound=BaseSettings)


def read_settings(kind: type[S], **given: Any) -> S:
    """The settings of a program; `given` goes before the environment. Exits 78, naming each variable that is wrong.

    Only pydantic's words are shown, never the values: they may be secrets.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        for each in error.errors(include_input=False):
            name = "".join(f"AUTOMESH_{part}: ".upper() for part in each["loc"][:1])
            sys.stderr.write(f"{name}{each['msg'].removeprefix('Value error, ')}\n")
        sys.exit(EXIT_REFUSED)


def program_version() -> str:
    """The installed version of automesh; "0" when it runs from a folder that was never installed."""
    try:
        return version("automesh")
    except PackageNotFoundError:
        return "0"


class MeshSettings(BaseSettings):
    """Common settings. A service derives its own and adds what it alone needs."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="AUTOMESH_", extra="ignore")

    service: str = Field(description="the name of the service this process serves")
    environment: str = Field("dev", description="the /ns/ part of every SPIFFE id")
    trust_domain: str = Field("automesh.local", description="the trust domain of every SPIFFE id")
    instance_id: str = Field(default_factory=lambda: new_id("inst"), description="unique among all processes")
    version: str = Field(default_factory=program_version, description="told to the registry; the installed one")
    state_dir: Path = Field(Path(".automesh"), description="where the process may keep files")
    identity_dir: Path = Field(Path(".automesh/identity"), description="holds cert.pem, key.pem, bundle.pem")
    control_address: str = Field("localhost:7400", description="host:port of control: xDS and embedded registry")
    listen_host: str = Field("127.0.0.1", description="where the gRPC server listens")
    listen_port: int = Field(0, ge=0, le=65535, description="0: any free port; callers learn it from the registry")
    advertise_host: str = Field("", description="how others reach this process; empty: listen_host")
    registry: Literal["consul", "embedded"] = Field(
        "embedded", description="who keeps the catalogue: Consul or control"
    )
    consul_address: str = Field("127.0.0.1:8500", description="host:port of the Consul agent")
    consul_token_file: Path | None = Field(None, description="a file with the ACL token for Consul; empty: none")
    consul_ca_file: Path | None = Field(None, description="CA of Consul's HTTPS; empty: plain HTTP (loopback only)")
    metrics_port: int = Field(0, ge=0, le=65535, description="Prometheus metrics on 127.0.0.1; 0: off")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged at least")
    max_connection_age_s: float = Field(0, ge=0, description="0: half the life of the own certificate")
    farewell_s: float = Field(0.2, ge=0, description="how long a process serves on after it left the registry")
    drain_timeout_s: float = Field(10, ge=0, description="how long calls in flight may take once the process stops")
