"""The state folder: made for one user alone, and refused with the way to mend it."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from automesh.local.state import LocalState, StateError

NOBODY = 65534


@pytest.fixture(params=[0o555, 0o000])
def forbidden_folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that this process, from now on nobody when it was root, cannot write (and then not even read)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(request.param)
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(before)
    folder.rmdir()


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    state = LocalState(tmp_path / "deep" / "state")
    state.prepare(need_bytes=1)
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    assert state.logs.is_dir()
    assert state.run.is_dir()


def test_a_folder_open_to_others_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    LocalState(folder).prepare(need_bytes=1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_git_never_takes_secrets_from_it(tmp_path: Path) -> None:
    state = LocalState(tmp_path / "state")
    state.prepare(need_bytes=1)
    assert (state.folder / ".gitignore").read_text() == "*\n"


def test_preparing_twice_changes_nothing(tmp_path: Path) -> None:
    state = LocalState(tmp_path / "state")
    state.prepare(need_bytes=1)
    (state.folder / "kept").write_text("x")
    state.prepare(need_bytes=1)
    assert (state.folder / "kept").read_text() == "x"


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_in_the_way_is_named(tmp_path: Path, below: str) -> None:
    file = tmp_path / "state"
    file.write_text("mine")
    with pytest.raises(StateError, match=f"{file} is a file.*--state-dir"):
        LocalState(file / below).prepare(need_bytes=1)
    assert file.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_refused_with_another_way(forbidden_folder: Path) -> None:
    with pytest.raises(StateError, match=r"not writable for .*: choose another folder with --state-dir"):
        LocalState(forbidden_folder / "state").prepare(need_bytes=1)


def test_a_folder_of_somebody_else_is_refused_by_name(tmp_path: Path) -> None:
    folder = Path("/usr")
    if os.geteuid() == 0:
        folder = tmp_path / "state"
        folder.mkdir()
        os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(StateError, match=r"belongs to .* and this is .*: run as"):
        LocalState(folder).prepare(need_bytes=1)


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"nearly full: \d+ MiB free, at least \d+ MiB needed. Make room"):
        LocalState(tmp_path / "state").prepare(need_bytes=1 << 62)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "is full: make room"),
        (errno.EDQUOT, "is full: make room"),
        (errno.EROFS, "read-only disk"),
        (errno.EIO, "cannot use .*: Input/output error"),
    ],
)
def test_whatever_the_disk_refuses_has_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def refuse(_path: Path, _content: bytes) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StateError, match=f"{words}.*--state-dir"):
        LocalState(tmp_path / "state").prepare(need_bytes=1)


def test_no_probe_file_is_left_behind(tmp_path: Path) -> None:
    state = LocalState(tmp_path / "state")
    state.prepare(need_bytes=1)
    assert not list(state.folder.glob(".probe*"))
