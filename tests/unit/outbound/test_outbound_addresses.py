"""Which addresses a name may lead to."""

import asyncio
import ipaddress
from collections.abc import Sequence

import pytest

from automesh.outbound.addresses import Resolver, checked_addresses, is_public, system_resolver
from automesh.outbound.allowlist import Target
from automesh.outbound.errors import AddressNotAllowed, Unreachable

NAME = Target.parse("https://files.example.org/")


def answering(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def check(*addresses: str, private: bool = False, target: Target = NAME) -> list[str]:
    found = await checked_addresses(target, answering(*addresses), private=private, limit_s=1)
    return [str(address) for address in found]


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
async def test_public_addresses_are_called(address: str) -> None:
    assert await check(address) == [str(ipaddress.ip_address(address))]


INSIDE = [
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.1"),
    *("255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.88.99.1"),
    *("::1", "::", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1", "fec0::1", "2001:db8::1", "100::1"),
    # IPv4 inside of IPv6: mapped, compatible, NAT64, 6to4, Teredo
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1"),
    *("2002:7f00:1::", "2002:a00:1::", "2001:0:7f00:1::1"),
]


@pytest.mark.parametrize("address", INSIDE)
async def test_addresses_inside_are_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(AddressNotAllowed, match="private"):
        await check(address)


async def test_one_bad_address_among_good_ones_refuses_all() -> None:
    with pytest.raises(AddressNotAllowed):
        await check("8.8.8.8", "127.0.0.1")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "fd12::1", "::ffff:10.0.0.1", "172.20.0.3"])
async def test_a_private_entry_opens_loopback_and_private_networks(address: str) -> None:
    assert await check(address, private=True)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "224.0.0.1", "::ffff:0.0.0.0", "::"]
)
async def test_a_private_entry_for_a_name_opens_no_metadata_service_and_nothing_that_is_no_host(address: str) -> None:
    with pytest.raises(AddressNotAllowed):
        await check(address, private=True)


async def test_link_local_is_open_where_the_entry_spells_it_out() -> None:
    assert await check("169.254.7.7", private=True, target=Target.parse("http://169.254.7.7/"))


async def test_a_name_without_an_address_is_unreachable_rather_than_forbidden() -> None:
    with pytest.raises(Unreachable, match="no address"):
        await check()

    async def lost(host: str, port: int) -> Sequence[str]:
        raise OSError("name or service not known")

    with pytest.raises(Unreachable, match="cannot be found"):
        await checked_addresses(NAME, lost, private=False, limit_s=1)


async def test_a_resolver_that_takes_its_time_is_not_waited_for() -> None:
    async def slow(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(Unreachable, match="within"):
        await checked_addresses(NAME, slow, private=False, limit_s=0.01)


async def test_many_addresses_are_tried_up_to_a_bound() -> None:
    many = [f"8.8.{part}.8" for part in range(100)]
    assert len(await check(*many, "8.8.0.8")) == 16


async def test_the_system_knows_this_machine() -> None:
    assert set(await system_resolver("localhost", 1)) & {"127.0.0.1", "::1"}
    assert list(await system_resolver("127.0.0.1", 1)) == ["127.0.0.1"]
