"""Which part a series or a row belongs to: the same on every engine, on every machine, in every order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from services.data.processor.engine import TEST, TRAIN, VALIDATION

Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint8]

_NEVER = 0
_LAST = 2**64 - 1


def series_parts(names: Iterable[Any], test: float, validation: float, seed: int) -> dict[Any, int]:
    """Part by series: those with the least hashes test, the next validate, so that the shares are met exactly."""
    ranked = sorted(names, key=lambda name: _hash(str(name), seed))
    tests, validations = _shares(len(ranked), test, validation)
    return {
        name: TEST if rank < tests else VALIDATION if rank < tests + validations else TRAIN
        for rank, name in enumerate(ranked)
    }


def position_bounds(positions: Positions, test: float, validation: float, seed: int) -> tuple[int, int]:
    """The hashes below which a row tests, and below which it validates, so that the shares are met exactly."""
    hashes = mixed(positions, seed)
    tests, validations = _shares(len(hashes), test, validation)
    return _bound(hashes, tests), _bound(hashes, tests + validations)


def position_parts(positions: Positions, seed: int, bounds: tuple[int, int]) -> Codes:
    """Part by row."""
    hashes = mixed(positions, seed)
    parts = np.full(len(hashes), TRAIN, np.uint8)
    parts[hashes < np.uint64(bounds[1])] = VALIDATION
    parts[hashes < np.uint64(bounds[0])] = TEST
    return parts


def time_parts(lengths: Positions, test: float, validation: float) -> Codes:
    """Part of every row of series of these lengths, one after the other: the earliest train, the latest test."""
    tests = np.floor(lengths * test + 0.5).astype(np.int64)
    validations = np.floor(lengths * validation + 0.5).astype(np.int64)
    trains = np.maximum(lengths - tests - validations, 0)
    counts = np.stack([trains, lengths - trains - tests, tests], axis=1).reshape(-1)
    codes = np.tile(np.array([TRAIN, VALIDATION, TEST], np.uint8), len(lengths))
    return np.repeat(codes, np.maximum(counts, 0))


def mixed(positions: Positions, seed: int) -> Numbers:
    """Splitmix64 of position and seed: numbers of 64 bits that look random, one for each row."""
    with np.errstate(over="ignore"):
        start = np.uint64(int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "little"))
        state = positions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed_up: Numbers = state ^ (state >> np.uint64(31))
    return mixed_up


def _hash(name: str, seed: int) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{seed}\x00{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), name


def _shares(total: int, test: float, validation: float) -> tuple[int, int]:
    """Rounded, but nothing that is asked for is left empty while something can be spared."""
    tests = int(total * test + 0.5)
    validations = int(total * validation + 0.5)
    if test and not tests and total > 1:
        tests = 1
    if validation and not validations and total > tests + 1:
        validations = 1
    return tests, min(validations, total - tests)


def _bound(hashes: Numbers, rank: int) -> int:
    if rank == 0:
        return _NEVER
    if rank >= len(hashes):
        return _LAST
    return int(np.partition(hashes, rank)[rank])
