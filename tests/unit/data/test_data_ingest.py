"""What people upload: read as it is meant, or refused with the place and a way to mend it."""

from __future__ import annotations

import gzip
import io
from typing import Any

import polars as pl
import pytest
import zstandard

CSV = "name,value\na,1\nb,2\n"
GOLDEN = "261299b87d6e25dcc7dae2f94bcb96c2c6504c6c32a48fd35c7d240b998cc646"
"""The digest of these rows: it must never change, or versions of the same data would seem to differ."""


def arrow(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return buffer.getvalue()


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "options"),
    [
        (CSV.encode(), "rows.csv", {}),
        (CSV.replace("\n", "\r\n").encode(), "rows.csv", {}),
        (CSV.rstrip().encode(), "rows.txt", {}),
        ((CSV + "\n\n").encode(), "rows.csv", {}),
        (CSV.replace(",", "\t").encode(), "rows.tsv", {}),
        (CSV.replace(",", ";").encode(), "rows.csv", {"delimiter": ";"}),
        (b"\xef\xbb\xbf" + CSV.encode(), "rows.csv", {}),
        (CSV.encode("utf-16"), "rows.csv", {"encoding": "utf-16"}),
        (gzip.compress(CSV.encode(), mtime=0), "rows.csv.gz", {}),
        (zstandard.compress(CSV.encode()), "rows.csv.zst", {}),
        (b'{"name":"a","value":1}\n\n{"value":2,"name":"b"}\n', "rows.jsonl", {}),
        (parquet(pl.DataFrame({"name": ["a", "b"], "value": [1, 2]})), "rows", {}),
        (arrow(pl.DataFrame({"name": ["a", "b"], "value": [1, 2]})), "rows.feather", {}),
    ],
)
def test_the_same_rows_come_out_of_every_format(process: Any, content: bytes, name: str, options: Any) -> None:
    outcome = process(content, name=name, options=options)
    assert outcome.part().to_dict(as_series=False) == {"name": ["a", "b"], "value": [1, 2]}
    assert outcome.result["digest"] == GOLDEN


@pytest.mark.parametrize(
    ("content", "line", "fields"),
    [
        ("a,b,c\n1,2,3\n4,5\n", 3, "has 2 fields"),
        ("a,b,c\n1,2,3\n4,5,6,7\n7,8,9\n", 3, "has 4 fields"),
        ('a,b\n"one\ntwo",2\n3\n', 4, "has 1 field"),
        ('a,b\n"x,y",2\n1,2,3\n', 3, "has 3 fields"),
        ("a,b\n1,2\n\n3,4\n", 3, "is empty"),
    ],
)
def test_a_ragged_line_is_named(process: Any, content: str, line: int, fields: str) -> None:
    reason, message = process(content).failure
    assert reason == "DATA_UNREADABLE"
    assert f"rows.csv: line {line} {fields}, the header has" in message


def test_a_ragged_line_is_found_far_into_a_large_file(process: Any) -> None:
    text = "y" * 100
    lines = ["a,b"] + [f'{number},"x,{text}"' for number in range(100_000)] + ["1,2,3"] + ["5,6"] * 10
    _, message = process("\n".join(lines)).failure
    assert "line 100002 has 3 fields" in message


def test_a_quote_that_is_never_closed_is_named(process: Any) -> None:
    _, message = process('a,b\n1,2\n3,"4\n5,6\n').failure
    assert "the record that begins in line 3 does not end" in message


def test_a_byte_that_is_not_utf8_is_named_with_its_place(process: Any) -> None:
    reason, message = process("name\nJosé\n".encode("latin-1")).failure
    assert reason == "DATA_UNREADABLE"
    assert "is not utf-8: byte 8 (0xe9)" in message
    assert '"latin-1"' in message
    told = process("name\nJosé\n".encode("latin-1"), options={"encoding": "latin-1"})
    assert told.part()["name"].to_list() == ["José"]


def test_utf16_without_a_word_is_recognised(process: Any) -> None:
    _, message = process(CSV.encode("utf-16")).failure
    assert 'encoding "utf-16"' in message


def test_a_binary_file_is_no_csv(process: Any) -> None:
    _, message = process(b"a,b\n1,\x00\n").failure
    assert "byte 6 is NUL" in message


@pytest.mark.parametrize(
    ("content", "name"), [(b"", "rows.csv"), (b"", "rows.parquet"), (b"", "rows.jsonl"), (b"a,b\n", "rows.csv")]
)
def test_no_rows_are_no_dataset(process: Any, content: bytes, name: str) -> None:
    reason, message = process(content, name=name).failure
    assert reason == "DATA_EMPTY"
    assert name in message


def test_ten_thousand_columns_are_refused_with_advice(process: Any) -> None:
    header = ",".join(f"c{number}" for number in range(10_000))
    reason, message = process(f"{header}\n{header}\n").failure
    assert reason == "DATA_TOO_LARGE"
    assert "10000 columns, at most 4096" in message
    assert "long form" in message


def test_columns_of_the_same_name_are_refused(process: Any) -> None:
    _, message = process("a,b,a\n1,2,3\n").failure
    assert "column 3 is called 'a' as one before it" in message


def test_a_column_without_a_name_gets_one(process: Any) -> None:
    assert process(",x\n0,5\n").part().columns == ["column_1", "x"]


def test_columns_that_the_engine_keeps_are_refused(process: Any) -> None:
    _, message = process("__part,b\n1,2\n").failure
    assert "'__part'" in message


def test_formulas_are_data(process: Any) -> None:
    cells = ["=1+1", "+2", "-3", "@SUM(A1)", '=HYPERLINK("x")']
    text = "cell\n" + "\n".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    assert process(text).part()["cell"].to_list() == cells


def test_a_type_that_changes_far_into_the_file_is_read_again(process: Any) -> None:
    text = "a\n" + "\n".join(["1"] * 20_000) + "\n2.5\n"
    assert process(text).part()["a"].dtype == pl.Float64
    text = "a\n" + "\n".join(["1"] * 20_000) + "\nx\n"
    assert process(text).part()["a"].dtype == pl.String


def test_texts_that_mean_no_value_are_null(process: Any) -> None:
    part = process("a,b\nNA,x\n2,NA\n", options={"null_values": ["NA", ""]}).part()
    assert part["a"].to_list() == [None, 2]
    assert part["b"].to_list() == ["x", None]


def test_nan_and_infinity_are_kept_and_counted_as_no_values(process: Any) -> None:
    outcome = process("a\n1.5\nNaN\ninf\n-2.5\n\n")
    assert outcome.part()["a"].is_nan().sum() == 1
    found = outcome.statistics()["a"]
    assert (found["min"], found["max"], found["nulls"]) == (-2.5, 1.5, 1)
    assert outcome.result["columns"][0]["nullable"] is True


def test_empty_lines_of_one_column_are_nulls_but_at_the_end(process: Any) -> None:
    assert process("a\n1\n\n2\n\n\n").part()["a"].to_list() == [1, None, 2]


def test_a_damaged_json_line_is_named(process: Any) -> None:
    _, message = process('{"a":1}\n{"a":}\n', name="rows.jsonl").failure
    assert "line 2 is no JSON: Expecting value at character 6" in message
    _, message = process('{"a":1}\n[1,2]\n', name="rows.jsonl").failure
    assert "line 2 is no JSON object" in message
    _, message = process('{"a":1}\n' + '{"a":' * 100_000 + "\n", name="rows.jsonl").failure
    assert "line 2" in message


def test_nested_values_are_refused_unless_they_are_left_out(process: Any) -> None:
    rows = '{"a":1,"b":{"c":2}}\n'
    reason, message = process(rows, name="rows.jsonl").failure
    assert reason == "DATA_UNREADABLE"
    assert "column 'b' holds Struct" in message
    assert process(rows, {"select": {"columns": ["a"]}}, name="rows.jsonl").part().columns == ["a"]


FRAME = pl.DataFrame({"a": list(range(5000)), "b": ["x"] * 5000})
WHOLE = parquet(FRAME)


@pytest.mark.parametrize("kept", [3, 4, 20, len(WHOLE) // 2, len(WHOLE) - 1])
def test_a_cut_parquet_file_is_unreadable(process: Any, kept: int) -> None:
    assert process(WHOLE[:kept], name="rows.parquet").failure[0] == "DATA_UNREADABLE"


@pytest.mark.parametrize("seed", range(12))
def test_a_lying_parquet_footer_is_unreadable_or_read(process: Any, seed: int) -> None:
    """Bytes of the footer are altered: an error that says so, or rows; never a panic."""
    length = int.from_bytes(WHOLE[-8:-4], "little")
    damaged = bytearray(WHOLE)
    for place in range(3):
        at = len(WHOLE) - 8 - length + (seed * 7919 + place * 104_729) % length
        damaged[at] ^= 1 << (seed + place) % 8
    outcome = process(bytes(damaged), name="rows.parquet")
    last = outcome.events[-1]
    assert last["kind"] == "done" or last["reason"] in {"DATA_UNREADABLE", "DATA_TOO_LARGE", "DATA_EMPTY"}


def test_damaged_pages_are_unreadable(process: Any) -> None:
    damaged = bytearray(WHOLE)
    damaged[40:400] = b"\xff" * 360
    reason, message = process(bytes(damaged), name="rows.parquet").failure
    assert reason == "DATA_UNREADABLE"
    assert "rows.parquet" in message


def test_a_damaged_arrow_file_is_unreadable(process: Any) -> None:
    whole = arrow(FRAME)
    assert process(whole[: len(whole) // 2], name="rows.arrow").failure[0] == "DATA_UNREADABLE"
    assert process(b"ARROW1\0\0" + b"y" * 500 + b"ARROW1", name="rows.arrow").failure[0] == "DATA_UNREADABLE"


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_zip_bomb_is_stopped_at_the_limit(process: Any, compress: Any) -> None:
    bomb = compress(b"a\n" + b"1\n" * 5_000_000)
    reason, message = process(bomb, name="rows.csv.gz", limits={"max_bytes": 1_000_000}).failure
    assert reason == "DATA_TOO_LARGE"
    assert f"has {len(bomb)} bytes and expands to more than 1000000" in message


def test_a_parquet_bomb_is_stopped_at_the_limit(process: Any) -> None:
    bomb = parquet(pl.select(pl.repeat(0, 5_000_000).alias("a")))
    assert len(bomb) < 50_000
    reason, message = process(bomb, name="rows.parquet", limits={"max_bytes": 1_000_000}).failure
    assert reason == "DATA_TOO_LARGE"
    assert "expands to about" in message
    reason, message = process(bomb, name="rows.parquet", limits={"max_rows": 1_000_000}).failure
    assert "5000000 rows, at most 1000000" in message


def test_a_cut_gzip_file_is_unreadable(process: Any) -> None:
    whole = gzip.compress(CSV.encode() * 1000)
    reason, message = process(whole[:-20], name="rows.csv.gz").failure
    assert reason == "DATA_UNREADABLE"
    assert "cut or damaged" in message


def test_a_text_longer_than_a_cell_may_be_is_refused(process: Any) -> None:
    reason, message = process("a\n" + "x" * 2000 + "\n", limits={"max_cell": 1000}).failure
    assert reason == "DATA_TOO_LARGE"
    assert "a text in column 'a' has 2000 bytes" in message


def test_too_many_rows_are_refused(process: Any) -> None:
    assert process(CSV, limits={"max_rows": 1}).failure[0] == "DATA_TOO_LARGE"


def test_small_types_become_those_of_datasets(process: Any) -> None:
    frame = pl.DataFrame(
        {"a": [1], "b": [2], "c": ["x"], "d": [None], "e": [1.5]},
        schema={"a": pl.UInt8, "b": pl.UInt32, "c": pl.Categorical, "d": pl.Null, "e": pl.Float32},
    )
    told = {column["name"]: column["type"] for column in process(frame).result["columns"]}
    assert told == {
        "a": "COLUMN_TYPE_INT32", "b": "COLUMN_TYPE_INT64", "c": "COLUMN_TYPE_STRING", "d": "COLUMN_TYPE_STRING",
        "e": "COLUMN_TYPE_FLOAT32",
    }  # fmt: skip


def test_moments_are_kept_in_utc(process: Any) -> None:
    outcome = process("when\n2026-01-31T12:00:00\n2026-02-01T00:00:00.5\n")
    assert outcome.part()["when"].dtype == pl.Datetime("us", "UTC")
    assert outcome.json("preview.json")["train"]["rows"] == [["2026-01-31T12:00:00Z"], ["2026-02-01T00:00:00.500000Z"]]
