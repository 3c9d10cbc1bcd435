"""`automesh model train|watch|sweep`: specs from files and flags, watching through cuts, curves in a terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from automesh.cli import model_runs, model_runs_sweeps
from automesh.cli.api import Api, Json
from automesh.cli.errors import CliError
from automesh.cli.main import cli
from automesh.cli.model_runs_follow import Learning, follow
from automesh.cli.model_runs_screen import facts, lines, screen, span
from automesh.cli.model_runs_spec import assign, assign_all, assign_data, check_data, read_spec
from automesh.cli.model_runs_sweeps import parameter
from automesh.cli.plot import MAX_POINTS, Curve, plot
from services.model.convert.spec import training_spec_of_json


class FakeApi(Api):
    """Answers from a script; the streams are cut where they hold an error."""

    def __init__(self, streams: list[list[Json | CliError]] | None = None, **answers: Any) -> None:
        self.streams = streams or []
        self.asked: list[int] = []
        self.posted: list[tuple[str, Any]] = []
        self.answers = answers

    def stream(self, path: str, **query: Any) -> Iterator[Json]:
        self.asked.append(int(query.get("fromSequence") or 0))
        for message in self.streams.pop(0):
            if isinstance(message, CliError):
                raise message
            yield {"update": message}

    def get(self, path: str, **query: Any) -> Json:
        return dict(self.answers.get(path.split("/")[1], {}))

    def post(self, path: str, body: Any = None, **query: Any) -> Json:
        self.posted.append((path, body))
        return dict(self.answers.get(path.rsplit("/", maxsplit=1)[-1], {}))


def point(step: int, name: str = "train/loss", value: Any = 0.5) -> Json:
    return {"name": name, "value": value, "step": str(step), "epoch": 1}


def update(sequence: int, *points: Json, state: str = "RUN_STATE_RUNNING", **more: Any) -> Json:
    return {"runId": "run_1", "sequence": str(sequence), "points": list(points), "state": state, **more}


def shown(what: Any, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(what)
    return out.getvalue()


# ---------------------------------------------------------------------- specs
def test_a_spec_is_read_from_yaml_and_flags_go_before_it(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(
        "name: sunspots\ndata: {data_id: data_1, targets: [number]}\narchitecture:\n  transformer: {heads: 2}\n"
        "optimization: {learning_rate: 1.0e-3}\n"
    )
    spec = read_spec(file)
    assign_data(spec, "data_2:7")
    assign_all(spec, ["optimization.clip_norm=1.5", "tags.team=blue", "optimization.early_stopping={}"])
    made = training_spec_of_json(spec)
    assert (made.data.data_id, made.data.version, made.tags["team"]) == ("data_2", 7, "blue")
    assert made.optimization.clip_norm == 1.5
    assert made.optimization.early_stopping is not None


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "just words", "\xff"])
def test_a_file_that_is_no_spec_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(CliError, match=r"spec\.yaml"):
        read_spec(file)


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(CliError):
        read_spec(file)


@pytest.mark.parametrize("bad", ["epochs", "=3", ""])
def test_a_setting_needs_path_and_value(bad: str) -> None:
    with pytest.raises(CliError, match="PATH=VALUE"):
        assign_all({}, [bad])
    with pytest.raises(CliError, match="not an object"):
        assign({"data": 1}, "data.version", 2)


def test_train_sends_what_flags_say(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi(
        train={"runId": "run_1", "modelId": "model_1"}, models={"models": [{"name": "sun", "modelId": "model_7"}]}
    )
    monkeypatch.setattr(model_runs, "api_of", lambda _: api)
    words = "model train --name sun --data data_1:3 --targets a,b --kind forecasting --arch transformer --hidden 32"
    done = CliRunner().invoke(
        cli, [*words.split(), "--device", "cuda", "--without-device", "wait", "--seed", "0", "--alias", "candidate"]
    )
    assert done.exit_code == 0, done.output
    [(path, body)] = api.posted
    made = training_spec_of_json(body["spec"])
    assert path == "/models/train"
    assert body["spec"]["model_id"] == "model_7"  # a model of that name is there: it gets another version
    assert (made.data.data_id, made.data.version, made.data.targets) == ("data_1", 3, ("a", "b"))
    assert repr(made.architecture).startswith("Transformer(hidden=32")
    assert (made.resources.device.value, made.resources.without_device.value) == ("cuda", "wait")
    assert made.aliases == ("candidate",)
    assert "automesh model watch run_1" in done.output


@pytest.mark.parametrize("flags", [["--kind", "magic"], ["--arch", "rnn"], ["--device", "tpu"], ["--data", "d:x"]])
def test_a_word_that_a_flag_does_not_know_is_refused(flags: list[str]) -> None:
    done = CliRunner().invoke(cli, ["model", "train", *flags])
    assert isinstance(done.exception, CliError)
    assert flags[0] in done.exception.message


# ---------------------------------------------------------------------- sweeps
@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("seed=1,2", {"path": "seed", "values": ["1", "2"]}),
        ("optimization.optimizer=adam,sgd", {"path": "optimization.optimizer", "values": ['"adam"', '"sgd"']}),
        ("a.b=0.0001..0.1:log", {"path": "a.b", "min": 0.0001, "max": 0.1, "log": True, "integer": False}),
        ("a=8..128:log:int", {"path": "a", "min": 8.0, "max": 128.0, "log": True, "integer": True}),
        ("a=-1..1e3", {"path": "a", "min": -1.0, "max": 1000.0, "log": False, "integer": False}),
    ],
)
def test_parameters_are_values_or_a_range(given: str, made: Json) -> None:
    assert parameter(given) == made


@pytest.mark.parametrize("bad", ["seed", "=1", "a=", "a=x..y"])
def test_a_parameter_that_is_neither_is_refused(bad: str) -> None:
    with pytest.raises(CliError):
        parameter(bad)


def test_a_sweep_is_shown_with_the_best_first(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        {"runId": "run_2", "state": "RUN_STATE_COMPLETED", "value": 0.25, "parameters": {"seed": "2"}},
        {"runId": "run_1", "state": "RUN_STATE_FAILED", "value": "NaN", "parameters": {"seed": "1"}},
    ]
    found = {"sweepId": "sweep_1", "state": "RUN_STATE_COMPLETED", "runs": runs, "metric": "val/loss"}
    monkeypatch.setattr(model_runs_sweeps, "api_of", lambda _: FakeApi(sweeps=found))
    done = CliRunner().invoke(cli, ["model", "sweep", "show", "sweep_1"])
    assert "2 of 2 runs have ended, best val/loss 0.25" in done.output
    assert done.output.index("run_2") < done.output.index("run_1")


# ---------------------------------------------------------------------- watching
def test_a_watch_goes_on_from_the_last_point_after_a_cut() -> None:
    cut = CliError("cut", passing=True)
    api = FakeApi(
        [
            [update(0), update(2, point(1), point(2)), cut],
            [cut],
            [update(2), update(3, point(3), state="RUN_STATE_COMPLETED")],
        ]
    )
    seen = list(follow(api, "run_1", pause=lambda _: None))
    assert api.asked == [0, 2, 2]
    assert [each["step"] for told in seen for each in told["points"]] == ["1", "2", "3"]


def test_an_error_that_does_not_pass_ends_the_watch() -> None:
    with pytest.raises(CliError, match="no such run"):
        list(follow(FakeApi([[CliError("no such run")]]), "run_1", pause=lambda _: None))


def test_without_a_terminal_a_watch_prints_lines_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = {"epoch": 2, "epochs": 9, "step": "20", "steps": "90", "eta": "83.5s", "samplesPerSecond": 1234.5}
    api = FakeApi(
        [[update(0), update(2, point(10), point(10, "val/loss", "NaN"), progress=progress, dropped="4")]],
        runs={
            "runId": "run_1",
            "modelId": "model_1",
            "state": "RUN_STATE_FAILED",
            "failure": {"reason": "TRAINING_DIVERGED", "message": "[red]the loss is NaN"},
        },
    )
    monkeypatch.setattr(model_runs, "api_of", lambda _: api)
    done = CliRunner().invoke(cli, ["model", "watch", "run_1"])
    assert done.exit_code == model_runs.EXIT_NOT_COMPLETED
    for part in ("epoch 1 step 10  val/loss nan", "epoch 2/9", "1,234 samples/s", "4 points left out", "DIVERGED"):
        assert part in done.output
    assert "[red]the loss" in done.output
    assert "train/loss" not in done.output


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_screen_fits_every_width(width: int) -> None:
    learning = Learning("run_01jd5x0v9k7q2m4n6p8r0t1v3")
    progress = {"epoch": 3, "epochs": 9, "step": "45", "steps": "90", "eta": "125s", "gpuMemory": str(3 * 2**30)}
    best = {"name": "val/loss", "value": 0.25, "epoch": 2}
    points = [each for n in range(1, 46) for each in (point(n, value=1 / n), point(n, "val/loss", 2 / n))]
    learning.hear(update(90, *points, point(45, "lr", 0.001), progress={**progress, "best": best}))
    text = shown(screen(learning, width=width, height=24), width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    for part in ("RUNNING", " 50%", "epoch 3/9", "ETA 2 min 05 s", "3.0 GiB", "best val/loss 0.25", "lr 0.001"):
        assert part in flat


def test_a_training_without_a_step_yet_says_what_it_waits_for() -> None:
    learning = Learning("run_1", update={"state": "RUN_STATE_QUEUED"})
    assert facts(learning) == "waiting for an agent (automesh agents)"
    learning.hear(update(1, progress={"step": "0", "steps": "0"}))
    assert facts(learning) == "the trainer starts"


def test_a_training_without_data_is_refused_in_the_words_of_the_command_line() -> None:
    with pytest.raises(CliError, match="--data DATA_ID") as caught:
        check_data({"name": "x", "data": {"version": 3}})
    assert "automesh data list" in caught.value.next_step
    check_data({"data": {"dataId": "data_1"}})


def test_durations_and_points_are_told_for_people() -> None:
    assert [span(text) for text in ("9.4s", "83.5s", "7322s")] == ["9 s", "1 min 24 s", "2 h 02 min"]
    points = [point(3), point(3, "val/loss", 0.5), point(3, "val/mae", 0.123456789), point(9, "val/loss", 0.25)]
    assert lines(points) == ["epoch 1 step 3  val/loss 0.5  val/mae 0.123457", "epoch 1 step 9  val/loss 0.25"]


# ---------------------------------------------------------------------- curves
def dots(text: str) -> int:
    return sum((ord(each) - 0x2800).bit_count() for each in text if 0x2800 <= ord(each) < 0x2900)


def test_a_falling_curve_falls() -> None:
    curve = Curve("loss", "cyan", [(step, 10.0 - step) for step in range(10)])
    rows = plot([curve], width=50, height=9).plain.splitlines()
    blank = chr(0x2800)
    left = [row.split("\u2502")[1].rstrip(blank + " ") for row in rows[:-1]]
    assert left[0].strip(blank)
    assert [len(row) for row in left] == sorted(len(row) for row in left)
    assert (rows[0].split("\u2502")[0].strip(), rows[7].split("\u2502")[0].strip()) == ("10", "1")
    assert rows[-1].split() == ["0", "9"]


def test_values_of_many_sizes_get_a_logarithmic_axis() -> None:
    curve = Curve("loss", "cyan", [(0, 100.0), (1, 1.0), (2, 0.01)])
    rows = plot([curve], width=50, height=11).plain.splitlines()
    assert "log" in rows[-1]
    middle = rows[5].split("\u2502")[1]
    assert middle[len(middle) // 2 - 1 : len(middle) // 2 + 1].strip(chr(0x2800))  # the straight line goes through it


@given(
    st.lists(st.tuples(st.floats(0, 1e9), st.floats()), max_size=60),
    st.integers(1, 150),
    st.integers(1, 40),
)
def test_any_curve_fits_its_frame(points: list[tuple[float, float]], width: int, height: int) -> None:
    curve = Curve("loss", "cyan")
    for x, y in points:
        curve.add(x, y)
    rows = plot([curve], width=width, height=height).plain.splitlines()
    assert len(rows) <= max(3, height)
    assert (dots("".join(rows)) > 0) == any(math.isfinite(y) for _, y in points)


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    curve = Curve("loss", "cyan")
    for step in range(20_000):
        curve.add(step, 1.0)
    assert len(curve.points) <= MAX_POINTS
    assert (curve.points[0][0], curve.points[-1][0]) == (0, 19_999)
