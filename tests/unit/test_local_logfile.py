"""Log files: bounded, whole lines at the end, nothing disturbed for who writes."""

import errno
import stat
from pathlib import Path

import pytest

from automesh.local.logfile import LogFile
from automesh.local.reason import ending, last_words, parse, start_line


def filled(log_file: LogFile, first: int, count: int) -> None:
    with log_file.open() as output:
        for number in range(first, first + count):
            output.write(f"line {number:06}\n".encode())


def test_a_small_file_is_left_alone(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log", limit_bytes=1000)
    filled(log_file, 0, 10)
    assert not log_file.trim()
    assert log_file.parts() == [tmp_path / "a.log"]


def test_a_file_that_is_not_there_needs_no_trimming(tmp_path: Path) -> None:
    assert not LogFile(tmp_path / "a.log").trim()


def test_all_parts_together_stay_bounded_whatever_is_written(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log", limit_bytes=1200, kept=3)
    for turn in range(20):
        filled(log_file, turn * 150, 150)
        log_file.trim()
    assert len(log_file.parts()) == 3
    assert sum(part.stat().st_size for part in tmp_path.iterdir()) <= 3 * 2 * 1200


def test_who_writes_goes_on_writing_after_a_trim(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log", limit_bytes=100)
    with log_file.open() as output:
        output.write(b"x" * 200 + b"\n")
        assert log_file.trim()
        output.write(b"after\n")
    assert (tmp_path / "a.log").read_bytes() == b"after\n"


def test_on_a_full_disk_being_bounded_comes_before_being_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_what: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log_file = LogFile(tmp_path / "a.log", limit_bytes=100)
    filled(log_file, 0, 50)
    monkeypatch.setattr("shutil.copyfileobj", full)
    assert log_file.trim()
    assert [part.stat().st_size for part in log_file.parts()] == [0]


def test_one_huge_burst_keeps_its_end(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log", limit_bytes=1200)
    filled(log_file, 0, 10_000)
    assert log_file.trim()
    assert log_file.tail(1) == ["line 009999"]
    assert (tmp_path / "a.log.1").stat().st_size <= 1200


@pytest.mark.parametrize("lines", [0, 1, 99, 100, 250, 10_000])
def test_the_tail_runs_over_all_parts(tmp_path: Path, lines: int) -> None:
    log_file = LogFile(tmp_path / "a.log", limit_bytes=1100)
    filled(log_file, 0, 100)
    log_file.trim()
    filled(log_file, 100, 100)
    log_file.trim()
    filled(log_file, 200, 50)
    assert log_file.tail(lines) == [f"line {number:06}" for number in range(250)][max(0, 250 - lines) :]


def test_logs_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log", limit_bytes=10)
    filled(log_file, 0, 10)
    log_file.trim()
    assert {stat.S_IMODE(part.stat().st_mode) for part in log_file.parts()} == {0o600}


def test_the_last_words_are_the_last_error(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log")
    with log_file.open() as output:
        output.write(b'{"event":"cannot go on","level":"error","error":"the port is taken"}\n')
        output.write(b'{"event":"bye","level":"info"}\n')
    assert last_words(log_file) == "cannot go on: the port is taken"


def test_the_last_words_of_an_earlier_life_do_not_count(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log")
    with log_file.open() as output:
        output.write(b'{"event":"old trouble","level":"error"}\n' + start_line("a") + b"Traceback\nBang\n")
    assert last_words(log_file) == "Traceback\nBang"


def test_an_exception_is_told_by_its_last_line(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log")
    with log_file.open() as output:
        output.write(
            b'{"event":"unforeseen","level":"error","exception":[{"exc_type":"OSError","exc_value":"no space"}]}\n'
        )
    assert last_words(log_file) == "unforeseen: OSError: no space"


def test_silence_is_told_as_such(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log")
    log_file.open().close()
    assert last_words(log_file) == "nothing in its log"


@pytest.mark.parametrize("line", ["", "plain", "{broken", "[1]", '{"no": "event"}'])
def test_what_is_no_log_event_is_none(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    ("code", "words"), [(0, "ended with code 0"), (-9, "killed by SIGKILL"), (-250, "killed by signal 250")]
)
def test_exit_codes_have_words(code: int, words: str) -> None:
    assert ending(code) == words
