"""Which addresses may be called: the public internet, and what an allow-list entry opens beyond it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from automesh.outbound.allowlist import Target
from automesh.outbound.errors import AddressNotAllowed, Unreachable

Address = IPv4Address | IPv6Address

MOST_ADDRESSES = 16
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
_UNUSUAL = tuple(
    ipaddress.ip_network(text)
    for text in ("192.88.99.0/24", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "fec0::/10", "3fff::/20")
)
"""Relays, tunnels, documentation and what was withdrawn: nobody serves files there."""


class Resolver(Protocol):
    """Finds the addresses of a name."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """In the order in which to try them. Raises OSError."""
        ...


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """What the system says; numeric hosts are returned as they are."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def checked_addresses(target: Target, resolve: Resolver, *, private: bool, limit_s: float) -> list[Address]:
    """Where to connect. Raises AddressNotAllowed when any of the addresses is inside, Unreachable when there is none.

    One bad address among good ones refuses all: whoever answers so tries something.
    """
    try:
        async with asyncio.timeout(limit_s):
            texts = await resolve(target.host, target.port)
    except TimeoutError:
        raise Unreachable(f"the address of {target.host} was not found within {limit_s:g} s") from None
    except (OSError, UnicodeError):
        raise Unreachable(f"the host {target.host} cannot be found") from None
    addresses = list(dict.fromkeys(ipaddress.ip_address(text.partition("%")[0]) for text in texts))[:MOST_ADDRESSES]
    if not addresses:
        raise Unreachable(f"the host {target.host} has no address")
    for address in addresses:
        if not (is_public(address) or (private and _may_be_inside(address, target))):
            raise AddressNotAllowed(
                f"{target.host} leads to {address}, which is not on the public internet: only an allow-list entry "
                "for this very host with the word `private` opens that",
                host=target.host,
                address=address,
            )
    return addresses


def is_public(address: Address) -> bool:
    """Whether the address, and every address hidden in it, is on the public internet."""
    if isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address in _NAT64):
        return all(is_public(inner) for inner in hidden_in(address))
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return False
    if any(address in network for network in _UNUSUAL if network.version == address.version):
        return False
    return all(is_public(inner) for inner in hidden_in(address))


def hidden_in(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address may lead to."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or address in _COMPATIBLE:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]


def _may_be_inside(address: Address, target: Target) -> bool:
    """Loopback and private networks. Link-local only where the entry spells it out: clouds keep secrets there."""
    inner = [address, *hidden_in(address)]
    if any(each.is_multicast or each.is_unspecified for each in inner):
        return False
    if any(each.is_link_local for each in inner):
        return target.literal and target.host == str(address)
    return any(each.is_private or each.is_loopback for each in inner)
