"""What the local stack is told by the environment: AUTOMESH_<NAME>."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LocalSettings(BaseSettings):
    """Servers of one's own, to be used in place of the embedded ones."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="AUTOMESH_", extra="ignore")

    state_dir: Path = Field(Path(".automesh"), description="where the stack keeps everything")
    postgres_dsn: str = Field("", description="a PostgreSQL of one's own; empty: the embedded one")
    redis_url: str = Field("", description="a Redis of one's own; empty: the embedded one")
    consul_address: str = Field("", description="host:port of a Consul agent of one's own; empty: one is started")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged at least")


def environment() -> dict[str, str]:
    """The environment that processes of the stack inherit. Calls on this machine never go through a proxy."""
    inherited = dict(os.environ)
    for name in ("no_proxy", "NO_PROXY"):
        direct = [inherited.get(name, ""), "localhost", "127.0.0.1", "::1"]
        inherited[name] = ",".join(part for part in direct if part)
    return inherited
