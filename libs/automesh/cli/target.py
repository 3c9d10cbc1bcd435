"""Which platform the CLI talks to, and as whom: flags, then AUTOMESH_* variables, then the stack of this machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from automesh.cli.errors import CliError
from automesh.local.state import LocalState


class CliSettings(BaseSettings):
    """What the environment says; each can be given as a flag too."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="AUTOMESH_", extra="ignore")

    state_dir: Path = Field(Path(".automesh"), description="the folder of the local stack")
    url: str = Field("", description="the gateway; empty: that of the local stack")
    ca_file: Path | None = Field(None, description="CA of the gateway's certificate; empty: that of the local stack")
    api_key: str = Field("", description="an API key to use instead of signing in")


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway, the CA of its certificate, and the folder that remembers the sign-in."""

    url: str
    ca_file: Path | None
    api_key: str
    state: LocalState

    @property
    def is_local(self) -> bool:
        """Whether it is the stack of this machine, where the CLI can sign in by itself."""
        return self.state.admin_password.is_file()


def find_target(settings: CliSettings) -> Target:
    """The target, or a CliError that says how to start or name one."""
    state = LocalState(settings.state_dir)
    if settings.url:
        return Target(settings.url.rstrip("/"), settings.ca_file, settings.api_key, state)
    try:
        running = json.loads(state.stack_file.read_text())
    except (OSError, ValueError):
        raise CliError(
            f"no stack runs in {state.folder}", next_step="Start one: automesh up   (or name one: --url, AUTOMESH_URL)"
        ) from None
    return Target(str(running["gateway_url"]), settings.ca_file or state.web_ca, settings.api_key, state)


def save_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
