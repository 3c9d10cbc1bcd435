"""What control is told by its environment, beside what every process of the mesh is told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from automesh.mesh.settings import MeshSettings

DEFAULT_PORT = 7400


class Settings(MeshSettings):
    """AUTOMESH_<NAME>."""

    service: str = "control"
    listen_port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="fixed, because every bootstrap names it")
    socket_path: Path | None = Field(
        None,
        description="Unix socket for xDS clients of this host that speak no TLS to it; empty: in run/ of state_dir",
    )
    expected_services: str = Field(
        "auth,control,orchestrator,data,doc,model,agent,gateway",
        description="what a whole mesh consists of, separated by commas",
    )
    essential_services: str = Field("auth,control,orchestrator", description="without these nothing works")

    @property
    def expected(self) -> tuple[str, ...]:
        """The names in `expected_services`."""
        return _names(self.expected_services)

    @property
    def essential(self) -> tuple[str, ...]:
        """The names in `essential_services`."""
        return _names(self.essential_services)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
