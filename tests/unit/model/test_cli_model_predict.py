"""Windows out of files: every one that fits, or a message that says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from automesh.cli import model_predict
from automesh.cli.errors import CliError

SIGNATURE = {"features": ["a", "b"], "inputs": [{"shape": ["-1", "2", "2"]}]}


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_every_window_of_a_csv_file_is_taken_in_the_order_of_the_features(tmp_path: Path) -> None:
    file = written(tmp_path, "rows.csv", "b,x,a\n10,?,1\n20,?,2\n30,?,3\n")
    assert model_predict._of_csv(file, SIGNATURE) == [[[1, 10], [2, 20]], [[2, 20], [3, 30]]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\n1\n2\n", "no column b; the model takes a, b"),
        ("a,b\n1,2\n", "1 rows; one window of the model has 2"),
        ("a,b\n1,2\n1,nine\n", "line 3: could not convert"),
        ("a,b\n1,2\n1\n", "line 3"),
        ("", "no column a, b"),
        ("a,b\n" + "1,2\n" * 1026, "1025 windows; at most 1024"),
    ],
)
def test_rows_that_make_no_window_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CliError, match=says):
        model_predict._of_csv(written(tmp_path, "rows.csv", text), SIGNATURE)


def test_json_holds_the_windows_or_the_body_of_the_call(tmp_path: Path) -> None:
    for text in ("[[[1, 2]]]", '{"instances": [[[1, 2]]]}'):
        assert model_predict._of_json(written(tmp_path, "windows.json", text)) == [[[1, 2]]]


@pytest.mark.parametrize(
    ("text", "says"), [("{", "no JSON"), ("3", "must hold a list"), ('{"a": 1}', "must hold a list")]
)
def test_json_that_holds_no_windows_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CliError, match=says):
        model_predict._of_json(written(tmp_path, "windows.json", text))
