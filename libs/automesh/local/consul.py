"""A Consul of the stack's own: one server, on loopback alone, its data in the state folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from automesh.local.ports import free_port

CHECKOUT = Path(__file__).resolve().parents[3]
"""Where automesh runs from, when that is a checkout."""


def find_consul(folders: Iterable[Path] = ()) -> Path | None:
    """One on PATH, else the one that `make consul` brought to the checkout."""
    on_path = shutil.which("consul")
    if on_path:
        return Path(on_path)
    for folder in (*folders, Path.cwd(), CHECKOUT):
        binary = folder / ".tools" / "consul" / "consul"
        if binary.is_file():
            return binary
    return None


class LocalConsul:
    """`prepare` it, then let a supervisor run `argv`."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self.http_port, self._serf_port, self._server_port = free_port(), free_port(), free_port()

    @property
    def address(self) -> str:
        """host:port for services."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def argv(self) -> Sequence[str]:
        """The foreground server."""
        return [str(self._binary), "agent", "-config-file", str(self._config_file)]

    @property
    def _config_file(self) -> Path:
        return self._folder / "consul.json"

    def prepare(self) -> None:
        """Writes the settings. Raises OSError."""
        data = self._folder / "data"
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for stale in ("services", "checks"):
            # Registrations of an earlier life, which Consul would keep for a minute or more; who lives registers again.
            shutil.rmtree(data / stale, ignore_errors=True)
        self._config_file.write_bytes(orjson.dumps(self._config(data), option=orjson.OPT_INDENT_2))

    def _config(self, data: Path) -> dict[str, object]:
        return {
            "server": True,
            "bootstrap_expect": 1,
            "node_name": "automesh",
            "data_dir": str(data),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {
                "http": self.http_port,
                "serf_lan": self._serf_port,
                "server": self._server_port,
                "serf_wan": -1,
                "dns": -1,
                "grpc": -1,
            },
            "performance": {"raft_multiplier": 1},  # elected in 1.5 s rather than in 7
            "disable_update_check": True,
            "log_level": "warn",
        }
