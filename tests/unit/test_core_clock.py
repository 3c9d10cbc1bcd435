"""The real clock."""

from datetime import UTC, datetime

from automesh.core.clock import Clock, utc_now


def test_the_clock_gives_the_present_moment_with_its_timezone() -> None:
    clock: Clock = utc_now
    before = datetime.now(UTC)
    now = clock()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC
