"""The program that builds sites as the service sees it: it may die, hang or be short of memory, and is not alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from services.doc.clients.site_program import SiteProgram
from services.doc.domain.publishing.errors import BuildFailed
from services.doc.domain.publishing.ports import Progress

DONE = """echo '{"digest": "d", "pages": 1, "files": [], "checks": [], "failure": ""}' > "$3/result.json" """
LIMIT_S = 30.0


def program(folder: Path, script: str = DONE, *, limit_s: float = LIMIT_S) -> SiteProgram:
    """One that does what the shell script says."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return SiteProgram(folder / "scratch", limit_s=limit_s, memory=0, python=str(python))


async def built(made: SiteProgram, *, meanwhile: Callable[[], object] = lambda: None) -> str:
    """The digest of what it has built."""

    async def texts() -> AsyncIterator[Sequence[str]]:
        yield ["one"]
        meanwhile()
        yield ["two"]

    async with made.build({}, texts(), unheard) as (result, _):
        return result.digest


async def unheard(progress: Progress) -> None:
    """Nobody listens."""


async def test_a_service_that_starts_leaves_the_folder_in_which_another_builds(tmp_path: Path) -> None:
    made = program(tmp_path)
    made.clear()
    left = tmp_path / "scratch" / "left by one that was killed"
    left.mkdir()
    assert await built(made, meanwhile=program(tmp_path).clear) == "d"
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", "died"),
        ("echo memory allocation of 9 bytes failed >&2; exit 134", "not enough memory"),
        ("echo MemoryError >&2; exit 1", "not enough memory"),
    ],
)
async def test_a_program_that_dies_says_why_nothing_was_built(tmp_path: Path, script: str, words: str) -> None:
    made = program(tmp_path, script)
    made.clear()
    with pytest.raises(BuildFailed, match=words):
        await built(made)
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_program_that_hangs_is_ended_with_all_that_it_has_begun(tmp_path: Path) -> None:
    made = program(tmp_path, f'sleep 600 & echo $! > "{tmp_path}/child"; wait', limit_s=0.3)
    made.clear()
    with pytest.raises(BuildFailed, match=r"more than 0\.3 s"):
        await built(made)
    state = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
