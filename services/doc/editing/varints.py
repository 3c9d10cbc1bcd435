"""The few numbers of Yjs's encoding (version 1) that have to be read here: state vectors and sets of deletions."""

from __future__ import annotations

from collections.abc import Mapping

MOST_BITS = 70


class Malformed(ValueError):
    """The bytes are not what they should be."""


def state_vector(encoded: bytes) -> Mapping[int, int]:
    """How many characters are known of each client. Raises Malformed."""
    clocks: dict[int, int] = {}
    count, at = read(encoded, 0)
    for _ in range(count):
        client, at = read(encoded, at)
        clocks[client], at = read(encoded, at)
    if at != len(encoded):
        raise Malformed("there is more behind the state vector")
    return clocks


def is_plausible(update: bytes) -> bool:
    """Whether an update says that it holds no more than its bytes can: room for the rest is made before it is read."""
    try:
        clients, at = read(update, 0)
        structs = read(update, at)[0]
    except Malformed:
        return False
    return max(clients, structs) <= len(update)


def is_within(update: bytes, clocks: Mapping[int, int]) -> bool:
    """Whether an update, without all that is known by `clocks`, adds nothing and deletes nothing that is unknown."""
    clients, at = read(update, 0)
    if clients:
        return False
    clients, at = read(update, at)
    for _ in range(clients):
        client, at = read(update, at)
        ranges, at = read(update, at)
        for _ in range(ranges):
            start, at = read(update, at)
            length, at = read(update, at)
            if start + length > clocks.get(client, 0):
                return False
    return True


def read(encoded: bytes, at: int) -> tuple[int, int]:
    """A number and where the next begins. Raises Malformed."""
    number = shift = 0
    while shift < MOST_BITS:
        if at >= len(encoded):
            break
        byte = encoded[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return number, at
        shift += 7
    raise Malformed("a number is cut, or too long")
