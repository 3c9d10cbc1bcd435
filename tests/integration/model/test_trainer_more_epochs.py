"""A training that has ended is given more epochs: it goes on as if it had had them from the beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.integration.model.lessons import lesson, same
from tests.integration.model.training_folder import Folder

pytestmark = pytest.mark.torch


def test_a_training_that_ended_goes_on_when_it_gets_more_epochs(tmp_path: Path) -> None:
    whole = Folder(path=tmp_path / "whole").lay({"optimization": {"epochs": 4}})
    short = Folder(path=tmp_path / "short").lay({"optimization": {"epochs": 2}})
    first = lesson(short.path)
    assert first.loop is not None
    assert first.loop.state.epoch == 2
    last = sorted((short.path / "out" / "checkpoints").iterdir())[-1]
    more = Folder(path=tmp_path / "more").lay({"optimization": {"epochs": 4}}, checkpoint="checkpoint")
    last.rename(more.path / "in" / "checkpoint")
    second = lesson(more.path)
    assert second.loop is not None
    assert second.loop.state.epoch == 4
    assert same(lesson(whole.path).weights, second.weights)


def test_a_training_that_stopped_early_stays_so(tmp_path: Path) -> None:
    plan = {"epochs": 60, "learning_rate": 0.03, "early_stopping": {"patience": 1, "min_delta": 0.5}}
    short = Folder(path=tmp_path / "short").lay({"optimization": plan})
    first = lesson(short.path)
    assert first.loop is not None
    ended = first.loop.state.epoch
    assert ended < 60
    last = sorted((short.path / "out" / "checkpoints").iterdir())[-1]
    more = Folder(path=tmp_path / "more").lay({"optimization": {**plan, "epochs": 90}}, checkpoint="checkpoint")
    last.rename(more.path / "in" / "checkpoint")
    second = lesson(more.path)
    assert second.loop is not None
    assert second.loop.state.epoch == ended
