"""Scratch folders: nothing is left, neither of this process nor of one that was killed."""

import os
from pathlib import Path

import pytest

from services.agent.clients.work_dir import WorkDirUnusable, opened


async def test_attempts_have_folders_of_their_own_for_their_time(tmp_path: Path) -> None:
    with opened(tmp_path, "inst_1") as work_dir:
        async with work_dir.attempt() as first, work_dir.attempt() as second:
            assert first != second
            (first / "inner").mkdir(mode=0o000)
        assert not first.exists()
    assert os.listdir(tmp_path) == []


def test_what_a_killed_agent_left_is_removed_and_a_living_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "inst_dead" / "attempt-x").mkdir(parents=True)
    (tmp_path / "inst_dead" / "lock").touch()
    (tmp_path / "not_ours").mkdir()
    with opened(tmp_path, "inst_living"), opened(tmp_path, "inst_new"):
        assert sorted(os.listdir(tmp_path)) == ["inst_living", "inst_new", "not_ours"]


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkDirUnusable, match="AUTOMESH_WORK_DIR"), opened(tmp_path / "file", "inst_1"):
        pass
