"""Holds a registration until it is killed: a process that never says goodbye."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from automesh.mesh.identity import IdentityFiles
from automesh.mesh.registry import Instance, Registry
from automesh.mesh.registry_consul import ConsulRegistry
from automesh.mesh.registry_embedded import EmbeddedRegistry


async def healthy() -> bool:
    return True


def main() -> None:
    """Arguments: kind, address, identity folder, ttl in seconds."""
    kind, address, identity, ttl_s = sys.argv[1:5]
    registry: Registry
    if kind == "consul":
        registry = ConsulRegistry(address, ttl_s=float(ttl_s))
    else:
        registry = EmbeddedRegistry(address, IdentityFiles(Path(identity)))
    instance = Instance(instance_id="doomed", service="echo", address="127.0.0.1", port=4242)
    asyncio.run(registry.hold(instance, healthy))


if __name__ == "__main__":
    main()
