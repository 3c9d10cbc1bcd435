"""On a GPU: the recorded step learns what the eager one learns, and goes on bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from services.model.trainer.learning import assembly
from services.model.trainer.learning.graph_stepping import GraphStepping
from tests.integration.model.lessons import lesson, same
from tests.integration.model.training_folder import TRANSFORMER, Folder, curve

pytestmark = [pytest.mark.torch, pytest.mark.gpu]
ARCHITECTURES: dict[str, Any] = {"lstm": {"lstm": {"hidden": 8, "dropout": 0}}, "transformer": TRANSFORMER}
STILL = {"transformer": {"hidden": 8, "heads": 2, "layers": 1, "dropout": 0}}


@pytest.mark.parametrize("architecture", [ARCHITECTURES["lstm"], STILL], ids=["lstm", "transformer"])
def test_a_recorded_step_learns_what_an_eager_one_learns(
    tmp_path: Path, architecture: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"architecture": architecture, "optimization": {"precision": "fp32", "clip_norm": 1.0, "schedule": "cosine"}}
    for name in ("recorded", "eager"):
        Folder(path=tmp_path / name).lay(spec, device="cuda")
    recorded = lesson(tmp_path / "recorded", device="cuda")
    assert recorded.loop is not None
    assert isinstance(recorded.loop._assembly.stepping, GraphStepping)
    monkeypatch.setattr(assembly, "_recordable", lambda *_: False)
    eager = lesson(tmp_path / "eager", device="cuda")
    assert curve(recorded.lines, "val/loss") == pytest.approx(curve(eager.lines, "val/loss"), rel=1e-3)
    assert curve(recorded.lines, "train/loss") == pytest.approx(curve(eager.lines, "train/loss"), rel=1e-3)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("step", [2, 5, 6])
def test_a_recorded_training_goes_on_bit_by_bit(tmp_path: Path, name: str, step: int) -> None:
    for folder in ("whole", "cut"):
        Folder(path=tmp_path / folder).lay({"architecture": ARCHITECTURES[name]}, device="cuda")
    assert lesson(tmp_path / "cut", stop_after=step, device="cuda").loop is None
    rest = lesson(tmp_path / "cut", device="cuda")
    assert same(lesson(tmp_path / "whole", device="cuda").weights, rest.weights)


def test_a_short_last_batch_counts_for_its_windows_alone(tmp_path: Path) -> None:
    spec = {"optimization": {"batch_size": 32, "epochs": 2}}  # 40 windows: 32 and 8
    Folder(path=tmp_path).lay(spec, device="cuda")
    done = lesson(tmp_path, device="cuda")
    assert len(curve(done.lines, "train/loss")) == 2
    assert all(value < 2 for value in curve(done.lines, "train/loss"))
