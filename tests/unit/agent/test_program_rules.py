"""What programs may say, how points are batched, which checkpoints are brought to safety."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from automesh.core.errors import ValidationError
from automesh.mesh.settings import read_settings
from services.agent.clients.checkpoints import Checkpoints
from services.agent.clients.libraries import missing
from services.agent.clients.points import MAX_BATCH, PointReporter
from services.agent.convert import points_to_proto, progress_to_proto
from services.agent.domain.files import FileInfo, place
from services.agent.domain.program import Checkpoint, Points, ProgramGarbled, event_from_line, file_names
from services.agent.settings import Settings, program_environment

LIMIT_S = 10


@pytest.mark.parametrize(
    "line",
    [
        '{"kind":"progress","fraction":"much"}',
        '{"kind":"progress","fraction":NaN}',
        '{"kind":"points"}',
        '{"kind":"points","points":[1]}',
        '{"kind":"points","points":[],"progress":[1]}',
        '{"kind":"checkpoint","folder":"x"}',
        '{"kind":"checkpoint","folder":"x","step":Infinity}',
        '{"kind":"done"}',
        '{"kind":"done","result":3}',
        '{"kind":"failed","message":"no reason"}',
    ],
)
def test_an_event_with_wrong_fields_is_refused(line: str) -> None:
    with pytest.raises(ProgramGarbled):
        event_from_line(line)


@pytest.mark.parametrize(
    "line", ["", "words", "[]", '"kind"', "{", '{"kind":["done"]}', '{"kind":"other"}', "{" * 9999]
)
def test_what_is_no_event_is_a_line_for_people(line: str) -> None:
    assert event_from_line(line) is None


@pytest.mark.parametrize("result", [{"files": 1}, {"files": [1]}, {"files": [{}]}, {"files": [{"name": "x"}] * 10_001}])
def test_a_result_that_lists_its_files_badly_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(ProgramGarbled):
        file_names(result)


@pytest.mark.parametrize("point", [{}, {"name": "a", "value": "b", "step": 1}, {"name": "a", "value": 1, "step": 1e99}])
def test_a_point_that_is_none_is_refused(point: dict[str, Any]) -> None:
    with pytest.raises(ProgramGarbled):
        points_to_proto([point])


def test_progress_that_nobody_understands_is_refused_and_unknown_fields_are_not() -> None:
    with pytest.raises(ProgramGarbled):
        progress_to_proto({"step": "many"})
    assert progress_to_proto({"step": "12", "eta": "3.5s", "news": 1}).step == 12


def test_a_name_stays_in_its_folder(tmp_path: Path) -> None:
    assert place(tmp_path, "a/b.parquet") == tmp_path / "a" / "b.parquet"
    for name in ("..", "a/../b", "/a", "", ".", "a/./b", "x\0", "x" * 501):
        with pytest.raises(ValidationError):
            place(tmp_path, name)


async def test_points_wait_while_a_batch_is_on_its_way_and_none_is_lost() -> None:
    batches: list[tuple[int, int, Mapping[str, Any]]] = []
    free, busy = asyncio.Event(), asyncio.Event()

    async def send(batch: int, points: Points, environment: Mapping[str, Any] | None) -> None:
        batches.append((batch, len(points.points), points.progress))
        busy.set()
        await free.wait()

    reporter = PointReporter(send)
    running = asyncio.create_task(reporter.run())
    async with asyncio.timeout(LIMIT_S):
        await reporter.add(Points(({"n": 0},), {"step": 1}))
        await busy.wait()
        for step in range(3):
            await reporter.add(Points(({"n": 0},) * (MAX_BATCH - 1), {"step": step}))
        free.set()
        await reporter.flush()
    running.cancel()
    assert batches == [(1, 1, {"step": 1}), (2, MAX_BATCH, {"step": 2}), (3, MAX_BATCH, {}), (4, MAX_BATCH - 3, {})]


async def test_of_checkpoints_that_wait_the_newest_and_the_best_are_brought_to_safety(tmp_path: Path) -> None:
    safe: list[str] = []
    free, busy = asyncio.Event(), asyncio.Event()

    async def store(name: str, path: Path) -> FileInfo:
        busy.set()
        await free.wait()
        return FileInfo(name, 0, "")

    async def commit(checkpoint: Checkpoint, files: Sequence[FileInfo]) -> None:
        assert [file.name for file in files] == ["deep/weights"]
        safe.append(checkpoint.folder)

    checkpoints = Checkpoints(tmp_path, store, commit)
    running = asyncio.create_task(checkpoints.run())
    async with asyncio.timeout(LIMIT_S):
        for number in range(7):
            if number != 5:  # the trainer has removed it meanwhile
                (tmp_path / f"c{number}" / "deep").mkdir(parents=True)
                (tmp_path / f"c{number}" / "deep" / "weights").touch()
            await checkpoints.add(Checkpoint(f"c{number}", number, best=number in {1, 3}))
            await busy.wait()
        free.set()
        await checkpoints.flush()
        await checkpoints.add(Checkpoint("c5", 5, best=False))
        await checkpoints.flush()
    running.cancel()
    assert safe == ["c0", "c3", "c6"]


def test_libraries_that_are_missing_are_named_with_what_to_do() -> None:
    assert missing(["json", "asyncio"], extra="data") == ""
    assert missing(["json", "no_such_library"], extra="model") == (
        "not installed: no_such_library; run `pip install 'automesh[model]'` and start the agent again"
    )


def test_programs_inherit_no_secret_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMESH_POSTGRES_DSN", "postgresql://secret")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "eth0")
    inherited = program_environment()
    assert inherited["NCCL_SOCKET_IFNAME"] == "eth0"
    assert [name for name in inherited if name.startswith("AUTOMESH_")] == []


@pytest.mark.parametrize(
    ("given", "fine"), [("auto", True), ("none", True), ("0,2", True), ("0;2", False), ("", False)]
)
def test_gpus_are_chosen_by_number(given: str, fine: bool) -> None:
    if fine:
        assert read_settings(Settings, gpus=given).gpus == given
    else:
        with pytest.raises(SystemExit):
            read_settings(Settings, gpus=given)
