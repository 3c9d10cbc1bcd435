"""Several processes train one model: as torchrun starts them, as Ray does, and when one of them is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file

from tests.integration.model.training_folder import LIMIT_S, TRANSFORMER, Folder, curve, of_kind, wait_for

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def two(**resources: Any) -> dict[str, Any]:
    """A spec for two processes."""
    return {"resources": {"processes": 2, **resources}, "optimization": {"precision": "fp32", "batch_size": 8}}


@pytest.mark.parametrize(
    "architecture", [{"lstm": {"hidden": 8, "dropout": 0}}, TRANSFORMER], ids=["lstm", "transformer"]
)
def test_two_ranks_learn_as_one_whether_they_copy_or_share_the_model(
    tmp_path: Path, architecture: dict[str, Any]
) -> None:
    losses = {}
    for strategy in ("ddp", "fsdp"):
        spec = two(strategy=strategy) | {"architecture": architecture}
        lines = Folder(path=tmp_path / strategy).lay(spec, processes=2).run()
        assert of_kind(lines, "environment")[0]["environment"]["processes"] == 2
        assert len(of_kind(lines, "done")) == 1  # one of them speaks for both
        losses[strategy] = curve(lines, "val/loss")
    assert losses["ddp"] == pytest.approx(losses["fsdp"], rel=1e-4)
    if "lstm" in architecture:  # without dropout two halves of a batch are one batch
        spec = {"architecture": architecture, "optimization": {"precision": "fp32", "batch_size": 16}}
        alone = Folder(path=tmp_path / "alone").lay(spec).run()
        assert losses["ddp"][-1] == pytest.approx(curve(alone, "val/loss")[-1], rel=0.2)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_rank_that_is_killed_costs_the_steps_since_the_last_checkpoint_and_no_more(
    tmp_path: Path, strategy: str
) -> None:
    spec = two(strategy=strategy) | {"checkpointing": {"every_steps": 2}}
    spec["optimization"] |= {"epochs": 15}
    whole = Folder(path=tmp_path / "whole").lay(spec, processes=2)
    whole.run()
    cut = Folder(path=tmp_path / "cut").lay(spec, processes=2)
    with cut.started() as process:
        wait_for(process, lambda line: line["kind"] == "checkpoint" and line["step"] >= 8)
        os.kill(_rank_one(process.pid), signal.SIGKILL)
        out, err = process.communicate(timeout=LIMIT_S)
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["kind"] == "done", err[-3000:]
    assert len(of_kind(lines, "environment")) == 1  # both began once more
    left, right = (load_file(folder.path / "out" / "model" / "model.safetensors") for folder in (whole, cut))
    assert all(torch.equal(left[name], right[name]) for name in left)


def _rank_one(launcher: int) -> int:
    """The second process that torchrun started."""
    for child in psutil.Process(launcher).children(recursive=True):
        if "services.model.trainer" in child.cmdline() and child.environ().get("RANK") == "1":
            return child.pid
    raise AssertionError("there is no second rank")


def test_two_ranks_that_are_asked_to_stop_leave_one_checkpoint(tmp_path: Path) -> None:
    spec = two() | {"checkpointing": {"every_epochs": 100_000}}
    spec["optimization"] |= {"epochs": 5000}
    folder = Folder(path=tmp_path).lay(spec, processes=2)
    with folder.started() as process:
        wait_for(process, lambda line: line["kind"] == "points")
        process.terminate()
        out, _ = process.communicate(timeout=LIMIT_S)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["kind"] for line in lines[-2:]] == ["checkpoint", "stopped"]


def test_bad_data_is_told_once_and_not_tried_again(tmp_path: Path) -> None:
    lines = Folder(path=tmp_path).lay(two() | {"data": {"features": ["x9"]}}, processes=2).run()
    assert [line["kind"] for line in lines if line["kind"] != "heartbeat"] == ["progress", "failed"]
    assert (lines[-1]["reason"], lines[-1]["retryable"]) == ("COLUMN_MISSING", False)


@pytest.mark.ray
def test_ray_trains_the_same_model_as_torchrun(tmp_path: Path) -> None:
    losses = {}
    for engine in ("torchrun", "ray"):
        lines = Folder(path=tmp_path / engine).lay(two(engine=engine), processes=2).run()
        assert lines[-1]["kind"] == "done"
        losses[engine] = curve(lines, "val/loss")
    assert losses["ray"] == losses["torchrun"]
