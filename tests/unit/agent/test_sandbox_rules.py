"""Limits and endings of a run."""

import pytest

from automesh.core.errors import ValidationError
from services.agent.domain.sandbox import Ending, Limits, Outcome, Usage, ending_of, exceeded


def test_usage_within_all_limits_ends_nothing() -> None:
    assert exceeded(Usage(), Limits()) is None
    limits = Limits()
    at_the_limit = Usage(processes=limits.processes, memory_bytes=limits.memory_bytes, wall_s=limits.wall_s)
    assert exceeded(at_the_limit, limits) is None


@pytest.mark.parametrize(
    ("usage", "ending"),
    [
        (Usage(wall_s=61), Ending.TIMED_OUT),
        (Usage(cpu_s=61), Ending.OUT_OF_CPU),
        (Usage(memory_bytes=2**31), Ending.OUT_OF_MEMORY),
        (Usage(processes=65), Ending.TOO_MANY_PROCESSES),
        (Usage(disk_bytes=2**29), Ending.DISK_FULL),
        (Usage(disk_entries=20_001), Ending.DISK_FULL),
        (Usage(output_bytes=2**25), Ending.TOO_MUCH_OUTPUT),
    ],
)
def test_each_limit_has_an_ending_of_its_own(usage: Usage, ending: Ending) -> None:
    assert exceeded(usage, Limits()) is ending


@pytest.mark.parametrize("field", ["wall_s", "memory_bytes", "processes", "tail_bytes"])
def test_a_limit_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Limits(**{field: 0})


@pytest.mark.parametrize(
    ("status", "stderr", "told"),
    [
        (0, b"", (Ending.OK, 0, None)),
        (3, b"", (Ending.FAILED, 3, None)),
        (200, b"", (Ending.FAILED, 200, None)),  # no such signal
        (137, b"", (Ending.FAILED, None, 9)),
        (-9, b"", (Ending.FAILED, None, 9)),
        (128 + 24, b"", (Ending.OUT_OF_CPU, None, 24)),
        (128 + 25, b"", (Ending.DISK_FULL, None, 25)),
        (1, b"Traceback\nMemoryError\n", (Ending.OUT_OF_MEMORY, 1, None)),
        (1, b"the text MemoryError in a sentence", (Ending.FAILED, 1, None)),
    ],
)
def test_an_exit_status_is_read(status: int, stderr: bytes, told: tuple[Ending, int | None, int | None]) -> None:
    assert ending_of(status, stderr) == told


def test_the_last_lines_of_an_outcome_are_its_complaint() -> None:
    outcome = Outcome(
        ending=Ending.FAILED, exit_code=1, signal=None, stdout=b"", stderr=b"one\ntwo\nthree \xff\n",
        stdout_cut=False, stderr_cut=False, wall_s=0, cpu_s=0, peak_bytes=0,
    )  # fmt: skip

    assert outcome.last_lines(2) == "two\nthree \ufffd"
