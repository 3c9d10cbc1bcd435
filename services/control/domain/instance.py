"""A process of the mesh as the catalogue knows it, and what makes one unusable."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from automesh.core.errors import ValidationError

MAX_ID_LENGTH = 128
MAX_METADATA = 32
MAX_METADATA_LENGTH = 512
MAX_PORT = 65_535
ZONE = "zone"
"""The metadata key that says in which zone a process runs."""

_SERVICE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")
_INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One registered process. Not checked by itself: a catalogue may hold anything, see `check`."""

    instance_id: str
    service: str
    address: str
    port: int
    version: str = ""
    healthy: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)
    spiffe_id: str = ""
    """What the registration says of its identity; empty when it says nothing."""


def check(instance: Instance) -> None:
    """Raises ValidationError for an instance that nobody could call."""
    if _SERVICE.fullmatch(instance.service) is None:
        raise _bad("service", f"{instance.service!r} is no name of a service: use a-z, 0-9, - and .")
    if len(instance.instance_id) > MAX_ID_LENGTH or _INSTANCE_ID.fullmatch(instance.instance_id) is None:
        raise _bad("instance_id", f"{instance.instance_id!r} is no instance id: 1 to {MAX_ID_LENGTH} letters or digits")
    if not 0 < instance.port <= MAX_PORT:
        raise _bad("port", f"port {instance.port} is not between 1 and {MAX_PORT}")
    if not is_ip(instance.address) and _HOST.fullmatch(instance.address) is None:
        raise _bad("address", f"{instance.address!r} is neither an IP address nor a host name")
    _check_metadata(instance.metadata)


def is_ip(address: str) -> bool:
    """Whether the address needs no name resolution."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > MAX_METADATA:
        raise _bad("metadata", f"{len(metadata)} pairs of metadata are more than {MAX_METADATA}")
    for key, value in metadata.items():
        if not key or len(key) + len(value) > MAX_METADATA_LENGTH:
            raise _bad("metadata", f"metadata {key[:40]!r} is empty or longer than {MAX_METADATA_LENGTH} characters")


def _bad(name: str, message: str) -> ValidationError:
    return ValidationError(message, field=name)
