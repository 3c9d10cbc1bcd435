"""Where Daft computes: in this process, on a Ray of the job's own, or on a cluster of Ray."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from automesh.core.errors import Unavailable

LOOPBACK = "127.0.0.1"
LEAST_STORE = 128 * 1024**2
STORE_SHARE = 0.3
_QUIET = {"DO_NOT_TRACK": "1", "DAFT_ANALYTICS_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "DAFT_PROGRESS_BAR": "0"}
"""Nothing is told to anybody, and nothing is written between the lines of the program."""
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
"""Without the first, Ray listens on all addresses of the machine even when it is told one."""

Close = Callable[[], None]


class RayUnreachable(Unavailable):
    """The cluster is away, or does not let us in."""

    reason = "RAY_UNREACHABLE"


def here() -> Close:
    """Daft computes in this process."""
    _tell(_QUIET)
    import daft  # noqa: PLC0415  # reads the environment when it is imported

    if daft.get_or_infer_runner_type() != "native":  # it can be set once in a process
        daft.set_runner_native()
    return lambda: None


def on_ray(address: str, memory: int) -> Close:
    """Daft computes on Ray; no address: on one that is started here, and ends with the program. `memory` 0: no limit.

    Raises RayUnreachable.
    """
    _tell(_QUIET)
    close = _joined(address) if address else _started(memory)
    import daft  # noqa: PLC0415  # reads the environment when it is imported

    daft.set_runner_ray(noop_if_initialized=True)
    return close


def _started(memory: int) -> Close:
    """A Ray of our own: on loopback, with a token that nobody else has, in a folder that goes with it."""
    _tell(_ALONE | {"RAY_AUTH_TOKEN": secrets.token_hex(32)})
    import ray  # noqa: PLC0415  # reads the environment when it is imported

    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets lie in it
    ray.init(
        address="local",  # never what another one has left behind
        num_cpus=len(os.sched_getaffinity(0)),
        object_store_memory=max(LEAST_STORE, int(memory * STORE_SHARE)) if memory else None,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address=LOOPBACK,
        _temp_dir=str(folder / "r"),  # Ray opens it to all; what is around it stays closed
    )

    def close() -> None:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)

    return close


def _joined(address: str) -> Close:
    import ray  # noqa: PLC0415  # reads the environment when it is imported

    try:
        ray.init(address=address, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise RayUnreachable(f"the Ray cluster at {address} cannot be joined: {error}") from error
    shutdown: Close = ray.shutdown
    return shutdown


def _tell(told: Mapping[str, str]) -> None:
    """Daft and Ray, and the processes that they start, take these from nowhere else."""
    os.environ.update(told)  # noqa: TID251  # nothing is read
