"""What somebody wants of a local stack; also as JSON, for the supervisor in the background."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

import orjson

Registry = Literal["auto", "consul", "embedded"]

GATEWAY_PORT = 8443
CONTROL_PORT = 7400
SITE_PORT = 8081
MOST_AGENTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """Ports: 0 takes any free one."""

    state_dir: Path
    port: int = GATEWAY_PORT
    control_port: int = CONTROL_PORT
    site_port: int | None = None
    """Of published documentation. None: the usual one where it is free, else any."""
    registry: Registry = "auto"
    agents: int = 1
    slots: int = 2
    unsafe_sandbox: bool = False

    def to_json(self) -> str:
        """The other way round: `from_json`."""
        return orjson.dumps({**asdict(self), "state_dir": str(self.state_dir)}).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError or TypeError for anything that `to_json` did not write."""
        document = orjson.loads(text)
        return cls(**{**document, "state_dir": Path(document["state_dir"])})
