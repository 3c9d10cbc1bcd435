"""The program as an agent starts it: lines out, files out, killed and gone on with, and an end for every trouble."""

from __future__ import annotations

import hashlib
import json
import random
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from services.model.trainer.state.saver import folders
from tests.integration.model.training_folder import (
    LIMIT_S,
    TRANSFORMER,
    WINDOW,
    Folder,
    curve,
    of_kind,
    rows,
    wait_for,
)

pytestmark = pytest.mark.torch
PLUGIN = """
from torch import nn
def tiny(features, window, outputs, config):
    width = config["width"]
    return nn.Sequential(nn.Flatten(), nn.Linear(features * window, width), nn.Tanh(), nn.Linear(width, outputs))
def wrong(features, window, outputs, config):
    return nn.Linear(features, outputs)
def none(features, window, outputs, config):
    raise LookupError("not today")
"""
KINDS: dict[str, tuple[dict[str, Any], list[int], set[str]]] = {
    "regression": ({}, [1], {"loss", "lr", "metrics", "prediction", "residuals"}),
    "forecasting": (
        {
            "architecture": TRANSFORMER,
            "data": {"targets": ["y"], "window": 6, "horizon": 3},
            "objective": {"kind": "OBJECTIVE_KIND_FORECASTING"},
        },
        [3, 1],
        {"loss", "lr", "metrics", "prediction", "residuals"},
    ),
    "classification": (
        {"data": {"targets": ["kind"]}, "objective": {"kind": "OBJECTIVE_KIND_CLASSIFICATION"}},
        [3],
        {"loss", "lr", "metrics", "confusion"},
    ),
    "anomaly": (
        {"data": {"targets": []}, "objective": {"kind": "OBJECTIVE_KIND_ANOMALY"}},
        [1],
        {"loss", "lr", "metrics", "prediction", "residuals", "scores"},
    ),
}


def last(lines: list[dict[str, Any]], reason: str) -> str:
    """The message of a failure with this reason, which must be the last line."""
    assert (lines[-1]["kind"], lines[-1].get("reason")) == ("failed", reason), lines[-1]
    return str(lines[-1]["message"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_leaves_a_model_that_onnx_runtime_serves(tmp_path: Path, kind: str) -> None:
    spec, output, plots = KINDS[kind]
    folder = Folder(path=tmp_path).lay(spec)
    lines = folder.run()
    assert [len(of_kind(lines, name)) for name in ("environment", "done", "failed")] == [1, 1, 0]
    result = lines[-1]["result"]
    described = {file["name"]: file for file in result["files"]}
    pictures = {f"model/plots/{plot}.{ending}" for plot in plots for ending in ("png", "json")}
    assert set(described) == pictures | {
        f"model/{name}" for name in ("model.safetensors", "model.onnx", "config.json", "card.json")
    }
    for name, file in described.items():
        assert hashlib.sha256(folder.file(name)).hexdigest() == file["sha256"]
        assert len(folder.file(name)) == file["size"]
    _check_served(folder, result["signature"], output, kind)
    _check_points(lines, ["val/accuracy", "val/f1"] if kind == "classification" else ["val/mae", "val/rmse", "val/r2"])
    assert result["metrics"]["test/loss"] > 0
    assert result["parameters"] > 100
    card = result["card"]
    assert card["digests"]["data"] == card["digests"]["dataset"] == "d" * 64
    assert card["environment"]["versions"]["torch"]
    assert card["data"]["windows"] == {"train": 40, "validation": 12, "test": 12}  # one fits into a series


def _check_served(folder: Folder, signature: dict[str, Any], output: list[int], kind: str) -> None:
    import onnxruntime

    (given,), (found,) = signature["inputs"], signature["outputs"]
    assert found == {"name": "output", "datatype": "FP32", "shape": [-1, *output]}
    session = onnxruntime.InferenceSession(folder.file("model/model.onnx"), providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        windows = np.random.default_rng(1).standard_normal((batch, *given["shape"][1:])).astype(np.float32)
        (answer,) = session.run(["output"], {"input": windows})
        assert answer.shape == (batch, *output)
        assert np.isfinite(answer).all()
        if kind == "classification":
            assert answer.sum(1) == pytest.approx(np.ones(batch), abs=1e-5)
            assert signature["classes"] == ["high", "low", "mid"]
        if kind == "anomaly":
            (large,) = session.run(["output"], {"input": 30 * windows})
            assert (large > 1).all()  # nothing like the sines of the training


def _check_points(lines: list[dict[str, Any]], metrics: list[str]) -> None:
    """In batches, with all that a watcher wants."""
    for name in ("train/loss", "val/loss", *metrics, "lr", "samples_per_second", "epoch_seconds"):
        assert len(curve(lines, name)) == 3, name
    steps = of_kind(lines, "checkpoint")[-1]["step"]
    progress = of_kind(lines, "points")[-1]["progress"]
    assert (progress["epoch"], progress["epochs"], progress["step"], progress["steps"]) == (3, 3, steps, steps)
    assert progress["eta"].endswith("s")
    assert progress["best"]["value"] == min(curve(lines, "val/loss"))
    from google.protobuf import json_format

    from automesh.model.v1 import run_pb2

    assert json_format.ParseDict(progress, run_pb2.RunProgress()).steps == steps


@pytest.mark.parametrize(
    "architecture", [{"lstm": {"hidden": 8, "dropout": 0.3}}, TRANSFORMER], ids=["lstm", "transformer"]
)
def test_killed_at_random_points_it_goes_on_to_the_same_bytes(tmp_path: Path, architecture: dict[str, Any]) -> None:
    spec = {
        "architecture": architecture,
        "optimization": {"epochs": 60, "schedule": "one_cycle", "clip_norm": 1.0},
        "checkpointing": {"every_steps": 1},
    }
    whole = Folder(path=tmp_path / "whole").lay(spec)
    whole.run()
    killed = Folder(path=tmp_path / "killed").lay(spec)
    chance = random.Random()
    steps = []
    for _ in range(3):
        with killed.started() as process:
            wait_for(process, lambda line: line["kind"] == "checkpoint")
            try:
                process.wait(chance.uniform(0, 0.6))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        steps.append(int(folders(killed.path / "out")[-1].name))
    killed.run()
    assert killed.file("model/model.safetensors") == whole.file("model/model.safetensors"), (
        f"killed after steps {steps}"
    )


def test_asked_to_stop_it_leaves_a_checkpoint_and_goes(tmp_path: Path) -> None:
    spec = {"optimization": {"epochs": 5000}, "checkpointing": {"every_epochs": 100_000}}
    folder = Folder(path=tmp_path).lay(spec)
    with folder.started() as process:
        wait_for(process, lambda line: line["kind"] == "points")
        process.terminate()
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["kind"] for line in lines[-2:]] == ["checkpoint", "stopped"]
    assert (tmp_path / "out" / lines[-2]["folder"] / "state.json").exists()


def test_an_installed_package_brings_its_own_network(tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "tiny-1.0.dist-info").mkdir(parents=True)
    (package / "tiny_models.py").write_text(PLUGIN)
    (package / "tiny-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    entries = "\n".join(f"{name} = tiny_models:{name}" for name in ("tiny", "wrong", "none"))
    (package / "tiny-1.0.dist-info" / "entry_points.txt").write_text(f"[automesh.models]\n{entries}\n")

    def trained(name: str) -> list[dict[str, Any]]:
        plugin = {"plugin": {"name": name, "config": {"width": 6}}}
        folder = Folder(path=tmp_path / name, environment={"PYTHONPATH": str(package)})
        return folder.lay({"architecture": plugin}).run()

    assert trained("tiny")[-1]["result"]["parameters"] == WINDOW * 3 * 6 + 6 + 6 + 1
    assert "makes [2, 12, 1] of [2, 12, 3], but the data needs [2, 1]" in last(trained("wrong"), "SHAPE_MISMATCH")
    assert "LookupError: not today" in last(trained("none"), "PLUGIN_FAILED")
    assert "there are: none, tiny, wrong" in last(trained("absent"), "PLUGIN_UNKNOWN")


def test_bad_data_ends_it_with_a_word_and_without_a_retry(tmp_path: Path) -> None:
    lines = Folder(path=tmp_path).lay({"data": {"features": ["x9"]}}).run()
    assert "no column 'x9'" in last(lines, "COLUMN_MISSING")
    assert lines[-1]["retryable"] is False


def test_a_gpu_that_is_not_there_is_told_with_the_choices(tmp_path: Path) -> None:
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    lines = Folder(path=tmp_path, environment=hidden).lay(device="cuda").run()
    assert "DEVICE_CPU" in last(lines, "DEVICE_MISSING")
    wanted = {"resources": {"device": "DEVICE_CUDA", "without_device": "NO_DEVICE_CPU"}}
    lines = Folder(path=tmp_path / "cpu", environment=hidden).lay(wanted, device="cuda").run()
    assert of_kind(lines, "environment")[0]["environment"]["device"] == "cpu"
    assert lines[-1]["kind"] == "done"


@pytest.mark.parametrize(
    ("content", "reason", "text"),
    [
        ("{", "JOB_UNREADABLE", "is not a training job"),
        ('{"data": "data/manifest.json"}', "JOB_UNREADABLE", "KeyError: 'spec'"),
        ('{"data": "x", "spec": {"name": "m", "epochs": 3}}', "VALIDATION", 'no field named "epochs"'),
        ('{"data": "x", "spec": {"name": "m"}}', "VALIDATION", "spec.data.data_id is empty"),
    ],
)
def test_a_job_that_is_none_ends_it_with_a_word(tmp_path: Path, content: str, reason: str, text: str) -> None:
    (tmp_path / "job.json").write_text(content)
    assert text in last(Folder(path=tmp_path).run(), reason)


def test_a_full_disk_at_the_end_loses_no_checkpoint(tmp_path: Path) -> None:
    folder = Folder(path=tmp_path).lay()
    (tmp_path / "out" / "model").write_text("a file where a folder should be")
    lines = folder.run()
    assert "The weights are safe in the last checkpoint" in last(lines, "CHECKPOINT_NOT_WRITTEN")
    assert lines[-1]["retryable"] is True
    (tmp_path / "out" / "model").unlink()
    lines = folder.run()
    assert lines[-1]["kind"] == "done"
    assert of_kind(lines, "points") == []  # nothing was trained twice


def test_a_network_that_does_not_fit_into_memory_is_told(tmp_path: Path) -> None:
    spec = {"architecture": {"lstm": {"hidden": 60_000, "layers": 2}}}
    folder = Folder(path=tmp_path, parts={"train": rows(4, 1)}).lay(spec)
    limit = 4 << 30
    with folder.started() as process:
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit, limit))
        out, _ = process.communicate(timeout=LIMIT_S)
    message = last([json.loads(line) for line in out.splitlines()], "OUT_OF_MEMORY")
    assert "smaller network" in message
