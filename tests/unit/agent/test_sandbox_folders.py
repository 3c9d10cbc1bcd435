"""Folders that untrusted code has written to, interpreters, and command lines."""

import os
import sys
from pathlib import Path

import pytest

from automesh.core.errors import ValidationError
from services.agent.clients.generator.workspace import Workspace
from services.agent.clients.sandbox import scratch
from services.agent.clients.sandbox.bubblewrap import View, isolated
from services.agent.clients.sandbox.interpreter import Interpreter
from services.agent.domain.sandbox import ScratchFileRefused


def test_a_plain_small_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "result").write_bytes(b"12345")

    assert scratch.read_bounded(tmp_path, "result", limit=5) == b"12345"


def test_a_link_left_in_place_of_a_result_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    (tmp_path / "result").symlink_to(tmp_path / "secret")

    with pytest.raises(ScratchFileRefused):
        scratch.read_bounded(tmp_path, "result", limit=100)


def test_a_pipe_left_in_place_of_a_result_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result")

    with pytest.raises(ScratchFileRefused, match="plain file"):
        scratch.read_bounded(tmp_path, "result", limit=100)


@pytest.mark.parametrize("name", ["../outside", "folder/file", "missing"])
def test_only_files_directly_in_the_folder_are_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScratchFileRefused):
        scratch.read_bounded(tmp_path, name, limit=100)


def test_a_result_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result").write_bytes(b"x" * 101)

    with pytest.raises(ScratchFileRefused, match="larger than 100"):
        scratch.read_bounded(tmp_path, "result", limit=100)


def test_usage_counts_what_lies_in_the_folder_and_not_behind_links(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"x" * 1_000_000)
    (folder / "link").symlink_to(tmp_path / "outside")

    size, entries = scratch.usage(folder, stop_after=100)

    assert 100_000 <= size < 200_000
    assert entries == 4


def test_a_folder_closed_to_everybody_is_removed_too(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    (folder / "closed" / "inner").mkdir(parents=True)
    (folder / "closed" / "file").write_text("x")
    (folder / "closed" / "inner").chmod(0)
    (folder / "closed").chmod(0)

    scratch.remove(folder)

    assert not folder.exists()


def test_removing_follows_no_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "link").symlink_to(kept)

    scratch.remove(folder)

    assert (kept / "file").exists()
    assert not folder.exists()


def test_a_scratch_folder_of_the_workspace_is_fresh_each_time(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.scratch() as first:
        (first / "left").write_text("x")
    with workspace.scratch() as second:
        assert list(second.iterdir()) == []
    assert not first.exists()
    assert not second.exists()


def test_inputs_are_readable_by_whoever_a_run_is(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    file = workspace.put("deep/er/task.json", {"a": 1})
    folder = workspace.link("project", file)

    assert file.read_text() == '{"a": 1}'
    assert all(each.stat().st_mode & 0o005 == 0o005 for each in (file.parent, file.parent.parent, folder))
    assert (folder / "task.json").resolve() == file
    assert workspace.link("project", file) == folder


def test_this_interpreter_needs_its_environment_and_its_base() -> None:
    interpreter = Interpreter.at(Path(sys.executable))

    visible = (*interpreter.roots, Path("/usr"))
    for needed in (Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve()):
        assert any(needed.is_relative_to(root) for root in visible)


def test_links_on_the_way_to_an_interpreter_are_made_again(tmp_path: Path) -> None:
    base = tmp_path / "opt" / "python"
    (base / "bin").mkdir(parents=True)
    (base / "bin" / "python3").write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "python3").symlink_to(base / "bin" / "python3")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"home = {base}/bin\nversion = 3\n")
    (tmp_path / "venv" / "bin" / "python").symlink_to(tmp_path / "elsewhere" / "python3")

    interpreter = Interpreter.at(tmp_path / "venv" / "bin" / "python")

    assert interpreter.roots == (tmp_path / "venv", base)
    assert interpreter.links == ((str(base / "bin" / "python3"), tmp_path / "elsewhere" / "python3"),)


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no-python"):
        Interpreter.at(tmp_path / "no-python")


def test_an_interpreter_whose_prefix_would_show_the_home_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("")

    with pytest.raises(ValidationError, match="too wide"):
        Interpreter.at(tmp_path / "bin" / "python")


def test_a_hidden_folder_is_masked_before_what_lies_in_it_is_shown(tmp_path: Path) -> None:
    state = tmp_path / "project" / "state"
    (state / "scratch").mkdir(parents=True)
    view = View(
        python=Path("/usr/bin/python3"), scratch=state / "scratch", read_only=(tmp_path / "project",),
        hidden=(state,), tmp_bytes=1,
    )  # fmt: skip

    command = isolated(Path("/bwrap"), view, env={"A": "b"}, fds=(5, 6))

    project, mask, own = (
        command.index(str(tmp_path / "project"), command.index("--ro-bind", command.index("/usr") + 2)),
        command.index("--tmpfs", command.index("/dev/shm") + 1),  # noqa: S108 - a word of a command line
        command.index("--bind"),
    )
    assert project < mask < own
    assert command[mask + 1] == str(state)
    assert "--share-net" not in command
    assert command[-1] == "--"
