"""Lease tokens: opaque, and nobody else can make one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import AutomationError
from services.orchestrator.domain.lease import LeaseKey, LeaseTokens

KEYS = {"k1": b"1" * 32, "k2": b"2" * 32}
TOKENS = LeaseTokens(KEYS.get, "k1")


@given(task_id=st.text(min_size=1, max_size=40), attempt=st.integers(0, 2**32 - 1))
def test_a_token_reads_back_as_its_lease(task_id: str, attempt: int) -> None:
    lease_key = LeaseKey(task_id, attempt)
    assert TOKENS.read(TOKENS.issue(lease_key)) == lease_key


@given(position=st.integers(0, 200), flip=st.integers(1, 255))
def test_a_changed_token_is_none(position: int, flip: int) -> None:
    token = bytearray(TOKENS.issue(LeaseKey("task_1", 7)))
    token[position % len(token)] ^= flip
    assert TOKENS.read(bytes(token)) is None


@given(junk=st.binary(max_size=80))
def test_junk_is_no_token(junk: bytes) -> None:
    assert TOKENS.read(junk) is None


def test_tokens_of_an_older_key_are_read_while_the_key_is_kept() -> None:
    token = TOKENS.issue(LeaseKey("task_1", 1))
    assert LeaseTokens(KEYS.get, "k2").read(token) == LeaseKey("task_1", 1)
    assert LeaseTokens({"k2": KEYS["k2"]}.get, "k2").read(token) is None


def test_an_active_key_that_is_missing_is_refused_at_once() -> None:
    with pytest.raises(AutomationError):
        LeaseTokens(dict[str, bytes]().get, "k1")
