"""What a run leaves: files, manifest, statistics, preview; versions as sources; exports."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from google.protobuf import json_format

from automesh.data.v1 import dataset_pb2 as pb

STEPS = [
    {"split": {"test_fraction": 0.2, "seed": "3"}},
    {"scale": {"method": "SCALE_METHOD_Z_SCORE"}},
    {"window": {"length": 10, "horizon": 2}},
]
NOON = datetime(2026, 1, 31, 12)  # noqa: DTZ001 # moments of frames are UTC
SMALL = {"samples": 50, "steps": 30, "features": 2}


def test_the_manifest_names_every_file_with_its_digest(process: Any) -> None:
    outcome = process(SMALL, *STEPS)
    manifest = outcome.result
    assert manifest == outcome.json("manifest.json")
    assert {path.name for path in outcome.out.iterdir()} == {file["name"] for file in manifest["files"]} | {
        "manifest.json"
    }
    for file in manifest["files"]:
        content = (outcome.out / file["name"]).read_bytes()
        assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest["size"] == sum(file["size"] for file in manifest["files"])
    assert manifest["window"] == {"length": 10, "stride": 10, "horizon": 2}
    assert (manifest["series_column"], manifest["time_column"]) == ("series", "step")
    assert manifest["facts"]["engine"] == "polars"


def test_what_is_said_is_protojson(process: Any) -> None:
    outcome = process(SMALL, *STEPS)
    names = [column["name"] for column in outcome.result["columns"]]
    assert [json_format.ParseDict(each, pb.Column()).name for each in outcome.result["columns"]] == names != []
    json_format.ParseDict(outcome.result["report"], pb.ValidationReport())
    parts = outcome.json("statistics.json")
    assert parts.keys() == {"train", "test"}
    for part in parts.values():
        assert [json_format.ParseDict(each, pb.ColumnStatistics()).column for each in part] == names


def test_progress_only_rises_and_the_end_comes_last(process: Any) -> None:
    events = process(SMALL, *STEPS).events
    fractions = [event["fraction"] for event in events if event["kind"] == "progress"]
    assert fractions == sorted(fractions) != []
    assert [event["kind"] for event in events].index("done") == len(events) - 1


def test_statistics_count_what_there_is(process: Any) -> None:
    frame = pl.DataFrame({"x": [0, 1, 2, 3, 4, 5, 6, 7, 8, 10], "s": ["a"] * 6 + ["b"] * 3 + [None]})
    found = process(frame).statistics()
    assert found["x"]["histogram"]["counts"] == [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1]
    assert (found["x"]["min"], found["x"]["max"], found["x"]["mean"]) == (0, 10, 4.6)
    assert found["x"]["quantiles"][2] == 4.5
    assert found["s"]["top"] == [{"value": "a", "count": 6}, {"value": "b", "count": 3}]
    assert (found["s"]["nulls"], found["s"]["distinct"]) == (1, 2)


def test_the_preview_is_readable_by_any_json_parser(process: Any) -> None:
    frame = pl.DataFrame(
        {
            "big": [2**60, 1],
            "real": [float("nan"), 0.5],
            "day": [date(2026, 1, 31), None],
            "when": [NOON, None],
            "flag": [True, None],
        }
    )
    rows = process(frame).json("preview.json")["train"]["rows"]
    assert rows == [[str(2**60), "nan", "2026-01-31", "2026-01-31T12:00:00Z", True], [1, 0.5, None, None, None]]


def test_a_version_is_a_source_and_its_parts_survive(process: Any) -> None:
    first = process(SMALL, *STEPS[:1])
    folder = process.folder()
    shutil.copytree(first.out, folder / "in" / "source")
    job = {"op": "process", "pipeline": {}, "source": {"kind": "version", "manifest": "source/manifest.json"}}
    again = process.run(folder, job)
    assert again.result["digest"] == first.result["digest"]
    assert again.result["series_column"] == "series"
    folder = process.folder()
    shutil.copytree(first.out, folder / "in" / "source")
    job["pipeline"] = {"steps": [{"scale": {"method": "SCALE_METHOD_MIN_MAX"}}]}
    scaled = process.run(folder, job)
    assert [part["rows"] for part in scaled.result["parts"]] == [part["rows"] for part in first.result["parts"]]
    assert scaled.statistics()["f0"]["max"] == 1.0


def test_a_version_is_split_anew_where_the_pipeline_says_so(process: Any) -> None:
    first = process(SMALL, *STEPS[:1])
    folder = process.folder()
    shutil.copytree(first.out, folder / "in" / "source")
    split = {"split": {"test_fraction": 0.5, "seed": "9"}}
    job = {
        "op": "process",
        "pipeline": {"steps": [split]},
        "source": {"kind": "version", "manifest": "source/manifest.json"},
    }
    assert [part["series"] for part in process.run(folder, job).result["parts"]] == [25, 25]
    assert process.run(folder, job).result["digest"] == process(SMALL, split).result["digest"]


def test_several_files_are_read_one_after_the_other(process: Any) -> None:
    folder = process.folder()
    (folder / "in" / "a.csv").write_text("x,y\n1,a\n2,b\n")
    (folder / "in" / "b.csv").write_text("x,y\n3,c\n")
    files = [{"name": "a.csv"}, {"name": "b.csv"}]
    job: Any = {"op": "process", "pipeline": {}, "source": {"kind": "files", "files": files}}
    assert process.run(folder, job).part()["x"].to_list() == [1, 2, 3]
    (folder / "in" / "b.csv").write_text("x,z\n3,c\n")
    assert "b.csv does not have the columns of a.csv" in process.run(folder, job).failure[1]


def export(process: Any, frame: pl.DataFrame, kind: str) -> bytes:
    folder = process.folder()
    frame.write_parquet(folder / "in" / "train.parquet")
    outcome = process.run(folder, {"op": "convert", "input": "train.parquet", "format": f"FILE_FORMAT_{kind}"})
    [file] = outcome.result["files"]
    content = (outcome.out / file["name"]).read_bytes()
    assert file["name"] == f"part.{kind.lower()}"
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    return content


def test_no_cell_of_an_exported_csv_is_a_formula(process: Any) -> None:
    cells = ["=1+1", "+2", "-3", "@x", "\tq", "plain", None, "a=b", "'=x"]
    frame = pl.DataFrame({"=sum": cells, "n": [-1] * len(cells)})
    rows = list(csv.reader(io.StringIO(export(process, frame, "CSV").decode())))
    assert rows[0] == ["'=sum", "n"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'+2", "'-3", "'@x", "'\tq", "plain", "", "a=b", "'=x"]
    assert {row[1] for row in rows[1:]} == {"-1"}


def test_exports_hold_the_same_rows(process: Any) -> None:
    frame = pl.DataFrame({"x": [1.5, None], "s": ["a", "=b"], "when": [NOON] * 2})
    lines = [json.loads(line) for line in export(process, frame, "JSONL").splitlines()]
    assert lines[0] == {"x": 1.5, "s": "a", "when": "2026-01-31T12:00:00Z"}
    assert pl.read_ipc(export(process, frame, "ARROW")).equals(frame)
    assert pl.read_parquet(export(process, frame, "PARQUET")).equals(frame)


def test_what_is_exported_as_csv_can_be_read_again(process: Any) -> None:
    frame = pl.DataFrame({"x": [1, 2], "s": ['quote " and, comma', "two\nlines"], "f": [0.1, float("inf")]})
    again = process(export(process, frame, "CSV"))
    assert again.part().equals(frame)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("{", "cannot be understood"),
        ("[]", "cannot be understood"),
        ('{"op":"destroy"}', "neither process nor convert"),
        ('{"op":"process","source":{"kind":"files","files":[]}}', "names no files"),
        ('{"op":"process","source":{"kind":"files","files":[{"name":"../x"}]}}', "no path inside the folder"),
        ('{"op":"process","source":{"kind":"version","manifest":"/etc/passwd"}}', "no path inside the folder"),
        ('{"op":"process","engine":"spark","source":{"kind":"generator"}}', "engine 'spark'"),
        ('{"op":"process","pipeline":{"steps":[{}]},"source":{"kind":"generator"}}', "pipeline.steps[0]"),
    ],
)
def test_a_job_that_nobody_can_do_is_refused(process: Any, job: str, words: str) -> None:
    folder = process.folder()
    outcome = process.run(folder, {})
    assert outcome.failure[0] == "VALIDATION"
    (folder / "job.json").write_text(job)
    from services.data.processor.work import work

    process._said()
    work(folder)
    last = json.loads(process._said().splitlines()[-1])
    assert (last["kind"], last["reason"]) == ("failed", "VALIDATION")
    assert words in last["message"]


@pytest.mark.slow
def test_many_columns_with_long_names_still_make_one_line(process: Any) -> None:
    """What is said in one line stays below the bound of lines, or is refused with advice."""
    scale = {"scale": {"method": "SCALE_METHOD_Z_SCORE"}}
    wide = {f"{number:04}{'x' * 145}": [float(number), 1.0] for number in range(3000)}
    facts = process(pl.DataFrame(wide), scale).result["facts"]
    assert facts["steps"] == []
    assert "too many columns" in facts["left_out"]
    wider = {f"{number:04}{'x' * 195}": [1.0] for number in range(4096)}
    reason, message = process(pl.DataFrame(wider)).failure
    assert reason == "DATA_TOO_LARGE"
    assert "shorter names" in message
