"""The token bucket."""

from automesh.core.bucket import TokenBucket


def test_a_burst_passes_and_then_only_the_rate() -> None:
    now = 0.0
    bucket = TokenBucket(rate=2, burst=3, monotonic=lambda: now)
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]


def test_a_long_rest_fills_it_no_further_than_the_burst() -> None:
    now = 0.0
    bucket = TokenBucket(rate=1, burst=2, monotonic=lambda: now)
    now = 1000.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]
