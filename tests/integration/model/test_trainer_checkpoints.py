"""Checkpoints are whole or refused, belong to their training, and hold no pickle."""

from __future__ import annotations

import json
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from services.model.domain.training.errors import CheckpointDamaged, CheckpointMismatch, CheckpointNotWritten
from services.model.trainer.job import read_job
from services.model.trainer.learning.loop import Loop
from services.model.trainer.learning.schedule import Plateau
from services.model.trainer.reporter import Point
from services.model.trainer.state import checkpoint as disk
from services.model.trainer.state.checkpoint import Checkpoint
from services.model.trainer.state.saver import folders
from services.model.trainer.state.state import Best, State
from tests.integration.model.lessons import lesson, same
from tests.integration.model.training_folder import Folder, curve

pytestmark = pytest.mark.torch
IDENTITY = {"definition": "a" * 64, "data": "b" * 64}


def some(size: int = 10) -> Checkpoint:
    state = State(
        epoch=2, batch=3, step=13, loss_sum=0.1 + 0.2, windows=40, best=Best("val/loss", 1 / 3, 9, 2), stale=1
    )
    state.plateau = Plateau(0.5, float("inf"), 2)
    state.history = [Point("val/r2", float("nan"), 9, 2, 1.5)]
    tensors = {"weight": torch.randn(size), "count": torch.tensor(3)}
    return Checkpoint(
        state, tensors, {"weight/exp_avg": torch.randn(size)}, {"0.torch": torch.get_rng_state()}, None, IDENTITY
    )


def test_what_was_written_is_read_bit_by_bit(tmp_path: Path) -> None:
    wanted = some()
    disk.write(tmp_path / "000013", wanted)
    found = disk.read(tmp_path / "000013", IDENTITY)
    for left, right in (
        (wanted.model, found.model),
        (wanted.optimizer, found.optimizer),
        (wanted.generators, found.generators),
    ):
        assert same(dict(left), dict(right))
    assert found.best is None
    assert found.state.to_json() == wanted.state.to_json()
    assert found.state.loss_sum == 0.1 + 0.2
    assert found.state.plateau == wanted.state.plateau


def test_a_checkpoint_is_safetensors_and_json_and_nothing_else(tmp_path: Path) -> None:
    disk.write(tmp_path / "000013", some())
    names = {path.name for path in (tmp_path / "000013").iterdir()}
    assert names == {"model.safetensors", "optimizer.safetensors", "rng.safetensors", "state.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["000013"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, alter, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "rng.safetensors", "state.json"])
def test_every_damage_is_seen(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    disk.write(tmp_path / "000013", some())
    damage(tmp_path / "000013" / name)
    with pytest.raises(CheckpointDamaged, match=r"checkpoint 000013 is damaged: .*Go on from an earlier one"):
        disk.read(tmp_path / "000013", IDENTITY)


def test_a_state_that_was_edited_is_seen(tmp_path: Path) -> None:
    disk.write(tmp_path / "000013", some())
    path = tmp_path / "000013" / "state.json"
    content = json.loads(path.read_text())
    content["state"]["step"] = 14
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointDamaged, match="does not have the digest"):
        disk.read(path.parent, IDENTITY)


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    disk.write(tmp_path / "000013", some())
    with pytest.raises(CheckpointMismatch, match="the digest of its data is b"):
        disk.read(tmp_path / "000013", {**IDENTITY, "data": "c" * 64})


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    disk.write(tmp_path / "000012", some())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(CheckpointNotWritten, match="free space on the disk of the trainer's folder") as caught:
            disk.write(tmp_path / "000013", some(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.retryable
    assert [path.name for path in tmp_path.iterdir()] == ["000012"]
    disk.read(tmp_path / "000012", IDENTITY)


def test_a_training_goes_on_while_a_checkpoint_is_written_which_is_told_once_it_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Folder(path=tmp_path).lay({"optimization": {"epochs": 3}, "checkpointing": {"keep_last": 3}})
    began, may_end = threading.Event(), threading.Event()
    write = disk.write

    def slow(folder: Path, checkpoint: Checkpoint) -> None:
        began.set()
        assert may_end.wait(10)
        write(folder, checkpoint)

    trained = StopsWaiting(began, may_end)
    monkeypatch.setattr(disk, "write", slow)
    monkeypatch.setattr(Loop, "_train_epoch", trained.watching(Loop._train_epoch))
    lines = lesson(tmp_path).lines
    assert trained.while_writing == 1, "the second epoch was learned before the first checkpoint was on disk"
    told = [line["folder"] for line in lines if line["kind"] == "checkpoint"]
    assert told == [f"checkpoints/{path.name}" for path in folders(tmp_path / "out")]
    assert len(told) == 3
    for folder in folders(tmp_path / "out"):
        assert disk._read_state(folder)["state"]["step"] == int(folder.name), "what was kept is what was there then"


class StopsWaiting:
    """Lets the writing end once an epoch was learned beside it."""

    def __init__(self, began: threading.Event, may_end: threading.Event) -> None:
        self._began, self._may_end = began, may_end
        self.while_writing = 0

    def watching(self, train_epoch: Callable[[Loop], None]) -> Callable[[Loop], None]:
        def watched(loop: Loop) -> None:
            train_epoch(loop)
            if self._began.is_set() and not self._may_end.is_set():
                self.while_writing += 1
                self._may_end.set()

        return watched


def test_a_damaged_checkpoint_that_came_with_the_job_is_refused(tmp_path: Path) -> None:
    cut_short = Folder(path=tmp_path / "cut").lay()
    lesson(cut_short.path, stop_after=4)
    folder = Folder(path=tmp_path / "job").lay(checkpoint="checkpoint")
    given = folder.path / "in" / "checkpoint"
    (cut_short.path / "out" / "checkpoints" / "000004").rename(given)
    alter(given / "model.safetensors")
    with pytest.raises(CheckpointDamaged, match=r"model.safetensors has digest .* it was cut or altered"):
        lesson(folder.path)


def test_a_damaged_one_of_its_own_is_passed_over_for_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("whole", "cut"):
        Folder(path=tmp_path / name).lay({"checkpointing": {"every_steps": 1}})
    lesson(tmp_path / "cut", stop_after=5)
    alter(tmp_path / "cut" / "out" / "checkpoints" / "000005" / "optimizer.safetensors")
    rest = lesson(tmp_path / "cut")
    assert "CHECKPOINT_DAMAGED" in capsys.readouterr().err
    assert same(rest.weights, lesson(tmp_path / "whole").weights)


def test_another_definition_does_not_go_on_from_it_but_another_name_does(tmp_path: Path) -> None:
    folder = Folder(path=tmp_path).lay()
    lesson(tmp_path, stop_after=4)
    own = read_job(tmp_path).learning_digest
    folder.lay({"name": "renamed", "resources": {"threads": 2}, "tags": {"a": "b"}})
    assert read_job(tmp_path).learning_digest == own
    folder.lay({"optimization": {"learning_rate": 0.02}})
    assert read_job(tmp_path).learning_digest != own
    assert len(curve(lesson(tmp_path).lines, "val/loss")) == 3


def test_no_file_of_the_trainer_reads_or_writes_pickle() -> None:
    words = ("import pickle", "torch.load(", "torch.save(")
    sources = Path(disk.__file__).parent.glob("*.py")
    assert [path for path in sources if any(word in path.read_text() for word in words)] == []
