"""The key file: private, written in one step, and clear about what is wrong with it."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from automesh.storage.keyring import Keyring, KeyringError

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def write(path: Path, content: object, mode: int = 0o600) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def test_a_saved_keyring_reads_back_the_same(path: Path) -> None:
    keyring = Keyring.generate().rotated()
    keyring.save(path)
    read = Keyring.from_file(path)
    assert read.active == keyring.active
    assert read.key(read.active) == keyring.key(keyring.active)
    assert str(read) == str(keyring)


def test_an_absent_file_is_made_when_asked_for_and_only_then(path: Path) -> None:
    with pytest.raises(KeyringError, match="no key file"):
        Keyring.from_file(path)
    made = Keyring.from_file(path, create=True)
    assert Keyring.from_file(path, create=True).active == made.active
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]


def test_of_two_processes_that_make_the_file_at_once_the_first_wins(path: Path) -> None:
    first, second = Keyring.generate(), Keyring.generate()
    first.save(path, replace=False)
    second.save(path, replace=False)
    assert Keyring.from_file(path).active == first.active


def test_saving_replaces_the_file_in_one_step(path: Path) -> None:
    Keyring.generate().save(path)
    before = path.stat().st_ino
    rotated = Keyring.from_file(path).rotated()
    rotated.save(path)
    assert Keyring.from_file(path).active == rotated.active
    assert path.stat().st_ino != before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_file_that_others_may_touch_is_refused_with_the_command_that_mends_it(path: Path, mode: int) -> None:
    write(path, {"active": "a", "keys": {"a": KEY}}, mode)
    with pytest.raises(KeyringError, match=f"chmod 600 {path}"):
        Keyring.from_file(path)


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "[]", {}, {"active": "a"}, {"active": "a", "keys": []}, {"active": "a", "keys": {"a": 7}},
     {"active": "a", "keys": {"a": "not base64!"}}, {"keys": {"a": KEY}}, {"active": [], "keys": {"a": KEY}}],
)  # fmt: skip
def test_a_file_of_another_shape_is_refused_with_the_right_one(path: Path, content: object) -> None:
    with pytest.raises(KeyringError, match="not of the shape"):
        Keyring.from_file(write(path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"active": "b", "keys": {"a": KEY}}, "active key 'b' is not among"),
        ({"active": "a", "keys": {"a": base64.b64encode(b"short").decode()}}, "5 bytes instead of 32"),
        ({"active": "a/b", "keys": {"a/b": KEY}}, "key id 'a/b'"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(path: Path, content: object, message: str) -> None:
    with pytest.raises(KeyringError, match=message):
        Keyring.from_file(write(path, content))


def test_a_file_that_cannot_be_read_or_written_says_why(path: Path) -> None:
    path.mkdir(0o700)
    with pytest.raises(KeyringError, match=r"cannot read key file .*Is a directory"):
        Keyring.from_file(path)
    with pytest.raises(KeyringError, match=r"cannot write key file .*No such file"):
        Keyring.generate().save(path / "no" / "folder")


def test_the_text_of_a_keyring_never_shows_a_key() -> None:
    keyring = Keyring({"a": b"k" * 32}, "a")
    assert "kkkk" not in f"{keyring!r} {keyring}"
    assert keyring.key("b") is None


def test_nothing_is_left_behind_when_writing_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyringError, match="No space left"):
        Keyring.generate().save(path)
    assert list(path.parent.iterdir()) == []
