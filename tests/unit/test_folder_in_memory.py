"""Where the databases of tests lie."""

import os
import subprocess
import sys
from pathlib import Path

from automesh.testing.memory import folder_in_memory


def test_a_folder_in_memory_goes_at_the_end(tmp_path: Path) -> None:
    with folder_in_memory(tmp_path / "otherwise", memory=tmp_path, room=1) as folder:
        assert folder.parent == tmp_path
        (folder / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_without_room_or_memory_it_is_the_other_one(tmp_path: Path) -> None:
    for memory, room in ((tmp_path, 2**62), (tmp_path / "missing", 1)):
        with folder_in_memory(tmp_path / "otherwise", memory=memory, room=room) as folder:
            assert folder == tmp_path / "otherwise"


def test_what_a_killed_process_has_left_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, used, other = (
        tmp_path / name for name in (f"automesh-test-{gone.pid}-a", f"automesh-test-{os.getpid()}-b", "somebody's")
    )
    for each in (left, used, other):
        each.mkdir()
    with folder_in_memory(tmp_path / "otherwise", memory=tmp_path, room=1):
        assert not left.exists()
        assert used.exists()
        assert other.exists()
