"""A comma-separated list of hosts, sorted into DNS names and IP addresses."""

from __future__ import annotations

import ipaddress
import re

from automesh.core.errors import ValidationError

_DNS = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I)


def parse_hosts(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """DNS names, IPs. Raises ValidationError naming the entry that is neither."""
    dns: list[str] = []
    ips: list[str] = []
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        try:
            ips.append(str(ipaddress.ip_address(entry)))
        except ValueError:
            if not _DNS.fullmatch(entry):
                raise ValidationError(f"{entry!r} is neither a host name nor an IP address", field="hosts") from None
            dns.append(entry.lower())
    return tuple(dns), tuple(ips)
