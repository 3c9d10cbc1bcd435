"""What the trainer says on stdout."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest

from services.model.trainer.reporter import HEARTBEAT_S, MAX_POINTS, Point, Reporter


def said(stream: io.StringIO) -> list[dict[str, Any]]:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in stream.getvalue().splitlines()]


def test_numbers_that_json_lacks_are_written_as_text() -> None:
    stream = io.StringIO()
    values = [math.nan, math.inf, -math.inf, 0.5]
    Reporter(stream).points([Point("train/loss", value, 1, 1, 2.0) for value in values], {})
    assert [point["value"] for point in said(stream)[0]["points"]] == ["NaN", "Infinity", "-Infinity", 0.5]


def test_many_points_go_in_lines_that_are_short_enough() -> None:
    stream = io.StringIO()
    Reporter(stream).points([Point("n" * 100, 0.1, 1, 1, 2.0)] * (2 * MAX_POINTS + 1), {"epoch": 1})
    assert [len(line["points"]) for line in said(stream)] == [MAX_POINTS, MAX_POINTS, 1]
    assert max(len(line) for line in stream.getvalue().splitlines()) < 1024 * 1024
    assert all(line["progress"] == {"epoch": 1} for line in said(stream))


def test_a_process_that_is_not_to_speak_keeps_silent(capfd: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(None)
    reporter.progress(0.5, "half")
    reporter.done({})
    assert capfd.readouterr() == ("", "")


def test_work_that_has_just_spoken_gives_no_sign_of_life() -> None:
    stream = io.StringIO()
    reporter = Reporter(stream)
    reporter.progress(2.0, "more than all")
    reporter.alive()
    assert said(stream) == [{"kind": "progress", "fraction": 1.0, "message": "more than all"}]


def test_work_that_was_silent_for_a_while_gives_one() -> None:
    stream = io.StringIO()
    reporter = Reporter(stream)
    reporter._last -= HEARTBEAT_S
    reporter.alive()
    reporter.alive()
    assert said(stream) == [{"kind": "heartbeat"}]


def test_a_failure_says_whether_trying_again_can_help() -> None:
    stream = io.StringIO()
    Reporter(stream).failed("DATA_TOO_SHORT", "m" * 5000, retryable=False)
    (line,) = said(stream)
    assert (line["kind"], line["reason"], line["retryable"]) == ("failed", "DATA_TOO_SHORT", False)
    assert len(line["message"]) == 4000
