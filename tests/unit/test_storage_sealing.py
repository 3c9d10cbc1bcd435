"""Sealing of small values: only the right key at the right place opens them, and nothing altered is believed."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import Kind
from automesh.storage.sealing import Keyring, SealBroken, Sealer, UnknownKey, place

KEYRING = Keyring.generate()
SEALER = Sealer(KEYRING)
AAD = place("task", "input", "task_1")
SECRET = b"the secret of task 1"


@given(plaintext=st.binary(max_size=2000), aad=st.binary(max_size=100))
def test_what_was_sealed_is_unsealed_at_its_place(plaintext: bytes, aad: bytes) -> None:
    assert SEALER.unseal(SEALER.seal(plaintext, aad), aad) == plaintext


def test_the_secret_is_not_in_the_sealed_bytes_and_no_two_seals_are_alike() -> None:
    one, two = SEALER.seal(SECRET, AAD), SEALER.seal(SECRET, AAD)
    assert SECRET not in one
    assert one != two


def test_a_value_moved_to_another_row_does_not_unseal() -> None:
    with pytest.raises(SealBroken, match="another place"):
        SEALER.unseal(SEALER.seal(SECRET, AAD), place("task", "input", "task_2"))


@given(data=st.data())
def test_no_bit_of_a_sealed_value_can_be_altered(data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(SECRET, AAD))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(SealBroken):
        SEALER.unseal(bytes(sealed), AAD)


@given(keep=st.integers(0, len(SEALER.seal(SECRET, AAD)) - 1))
def test_a_sealed_value_cannot_be_cut(keep: int) -> None:
    with pytest.raises(SealBroken):
        SEALER.unseal(SEALER.seal(SECRET, AAD)[:keep], AAD)


@given(noise=st.binary(max_size=200))
def test_noise_is_refused_whatever_it_is(noise: bytes) -> None:
    for sealed in (noise, b"AMS1" + noise):
        with pytest.raises(SealBroken):
            SEALER.unseal(sealed, AAD)


def test_a_broken_seal_is_our_fault_and_not_to_be_retried() -> None:
    assert (SealBroken.kind, SealBroken.reason) == (Kind.INTERNAL, "SEAL_BROKEN")


def test_a_value_of_an_unknown_key_says_which_key_it_needs() -> None:
    other = Keyring.generate()
    with pytest.raises(UnknownKey, match=other.active) as raised:
        SEALER.unseal(Sealer(other).seal(SECRET, AAD), AAD)
    assert raised.value.metadata == {"keyId": other.active}


def test_the_same_key_id_with_another_key_does_not_unseal() -> None:
    forged = Keyring({KEYRING.active: secrets.token_bytes(32)}, KEYRING.active)
    with pytest.raises(SealBroken):
        Sealer(forged).unseal(SEALER.seal(SECRET, AAD), AAD)


def test_after_rotation_old_values_open_and_new_ones_use_the_new_key() -> None:
    old = SEALER.seal(SECRET, AAD)
    rotated = Sealer(KEYRING.rotated())
    assert rotated.unseal(old, AAD) == SECRET
    assert Sealer.key_id(rotated.seal(SECRET, AAD)) == rotated.active_key_id != KEYRING.active


def test_a_rewrapped_value_needs_the_old_key_no_more() -> None:
    keyring = KEYRING.rotated()
    fresh = Sealer(keyring).rewrap(SEALER.seal(SECRET, AAD), AAD)
    assert Sealer(keyring.without(KEYRING.active)).unseal(fresh, AAD) == SECRET
    assert Sealer(keyring).rewrap(fresh, AAD) is fresh


def test_rewrapping_does_not_bless_a_broken_seal() -> None:
    with pytest.raises(SealBroken):
        Sealer(KEYRING.rotated()).rewrap(SEALER.seal(SECRET, AAD)[:-1], AAD)


@given(one=st.lists(st.text(max_size=5), max_size=4), two=st.lists(st.text(max_size=5), max_size=4))
def test_two_places_are_equal_only_when_all_their_parts_are(one: list[str], two: list[str]) -> None:
    assert (place(*one) == place(*two)) == (one == two)
    assert place("a", "bc") != place("ab", "c")
