"""What is asked for and what programs say of themselves: checked whole, refused by the field that is wrong."""

import json
from typing import Any

import pytest

from automesh.core.errors import ValidationError
from automesh.data.v1 import data_service_pb2 as pb
from services.data.convert import manifests, orders
from services.data.domain.catalogue import check_reason
from services.data.domain.claims import check_path
from services.data.domain.fetching import file_name
from services.data.domain.upload import NewUpload, guessed_format, plain_name
from services.data.domain.version import Draft, Origin, Recipe, State

OPTIONS = {"upload_id": "u", "options": {"delimiter": ";;"}}


def field_of(error: pytest.ExceptionInfo[ValidationError]) -> str:
    return error.value.violations[0].field


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"description": "x" * 4097}, "description"),
        ({"labels": {"": "v"}}, "labels"),
        ({"labels": {"k": "v" * 101}}, "labels"),
        ({"labels": {str(n): "" for n in range(65)}}, "labels"),
        ({"data_id": "data_x"}, "name"),
        ({"source": {"dataset": {}}}, "source.dataset"),
        ({"source": {"upload": OPTIONS}}, "source.upload.options.delimiter"),
        ({"source": {"url": {"url": "https://x", "options": {"encoding": "ebcdic"}}}}, "source.url.options.encoding"),
        ({"source": {"generator": {"samples": -1}}}, "source.generator.samples"),
        ({"source": {}}, "source"),
        ({"pipeline": {"steps": [{}]}}, "pipeline.steps[0]"),
    ],
)
def test_a_bad_order_is_refused_by_its_field(request_: dict[str, Any], field: str) -> None:
    request = pb.ProcessDataRequest(**{"name": "x", "source": {"generator": {}}, **request_})
    with pytest.raises(ValidationError) as error:
        orders.order(request)
    assert field_of(error) == field


def test_equal_orders_have_equal_fingerprints() -> None:
    def order(**changes: Any) -> bytes:
        told = {"name": "x", "source": {"generator": {"seed": 7}}, "labels": {"a": "b"}, **changes}
        return orders.order(pb.ProcessDataRequest(**told)).fingerprint()

    assert order() == order()
    assert len({order(), order(name="y"), order(labels={}), order(source={"generator": {"seed": 8}})}) == 4


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "name"),
        ({"name": "x"}, "source"),
        ({"name": "x", "source": {"generator": {"kind": "square"}}}, "source.generator.kind"),
        ({"nom": "x"}, "input"),
        ({"name": "x", "source": {"generator": {"samples": 1.5}}}, "input"),
    ],
)
def test_a_bad_input_of_a_task_is_refused_by_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        orders.order_of_input(given)
    assert field_of(error) == field


def test_a_request_id_is_short_and_printable() -> None:
    recipe = Recipe(source={}, pipeline={}, origin=Origin("generator", "sine"))
    for bad in ("r" * 129, "a\nb"):
        with pytest.raises(ValidationError) as error:
            Draft(tenant_id="t", data_id="d", recipe=recipe, created_by="u", request_id=bad)
        assert field_of(error) == "request_id"


# ---------------------------------------------------------------------- manifests
PART = {"name": "train", "rows": 2, "file": "train.parquet"}


def manifest(**changes: Any) -> bytes:
    sha = "0" * 64
    names = ("train.parquet", "preview.json", "statistics.json")
    told = {
        "state": "READY",
        "rows": 2,
        "columns": [{"name": "a", "type": "COLUMN_TYPE_INT64"}],
        "parts": [PART],
        "digest": sha,
        "files": [{"name": name, "size": 1, "sha256": sha} for name in names],
    }
    return json.dumps(told | changes).encode()


def test_a_manifest_is_read() -> None:
    found = manifests.manifest(manifest())
    assert (found.state, found.rows, found.size, [part.name for part in found.parts]) == (State.READY, 2, 3, ["train"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"state": "FINE"}, "manifest.state"),
        ({"state": ["READY"]}, "manifest.state"),
        ({"digest": "short"}, "manifest.digest"),
        ({"parts": []}, "manifest.parts"),
        ({"parts": ["train"]}, "manifest.parts"),
        ({"parts": [{"name": "other", "rows": 1, "file": "train.parquet"}]}, "manifest.parts"),
        ({"parts": [{"name": "train", "rows": 1, "file": "elsewhere.parquet"}]}, "manifest.parts"),
        ({"rows": -1}, "manifest.rows"),
        ({"rows": "many"}, "manifest.rows"),
        ({"rows": 2**63}, "manifest.rows"),
        ({"files": []}, "manifest.files"),
        ({"files": [{"name": "../x", "size": 1, "sha256": "0" * 64}]}, "name"),
        ({"files": [{"name": "x", "size": 1, "sha256": "?"}]}, "manifest.files"),
        ({"columns": [{"nom": "a"}]}, "manifest.columns"),
        ({"columns": [{"name": str(n)} for n in range(4097)]}, "manifest.columns"),
        ({"report": {"passed": "perhaps"}}, "manifest.report"),
        ({"window": {"length": "long"}}, "manifest.window"),
        ({"rows": float("inf")}, "manifest.rows"),
        ({"columns": 5}, "manifest.columns"),
        ({"facts": [1]}, "manifest.facts"),
        ({"facts": {"a": "\ud800"}}, "manifest.facts"),
        ({"facts": {"a": [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}}, "manifest.facts"),
        ({"parts": [PART | {"windows": "many"}]}, "manifest.parts.windows"),
        ({"parts": [PART | {"series": 2**70}]}, "manifest.parts.series"),
        ({"parts": [PART | {"rows": float("inf")}]}, "manifest.parts.rows"),
        ({"parts": [PART | {"file": ["train.parquet"]}]}, "manifest.parts"),
        ({"parts": [PART | {"windows_file": "../elsewhere"}]}, "manifest.parts"),
        ({"state": "REJECTED", "parts": [{"nom": "train"}]}, "manifest.parts"),
        ({"state": "REJECTED", "parts": 5}, "manifest.parts"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused_by_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        manifests.manifest(manifest(**change))
    assert field_of(error) == field


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":1}' + b" " * manifests.MAX_BYTES]
)
def test_what_is_no_manifest_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(ValidationError):
        manifests.manifest(content)


# ---------------------------------------------------------------------- names and formats
@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a//b", "a/./b", "a\\b", "a\nb", "x" * 513, "a/"])
def test_an_odd_path_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as error:
        check_path(name)
    assert field_of(error) == "name"


@pytest.mark.parametrize("name", ["", "../x.csv", "a/b.csv", "a\\b", "a\nb", "x" * 256, ".."])
def test_an_odd_name_of_an_upload_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as error:
        NewUpload(name=name)
    assert field_of(error) == "name"


def test_a_digest_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError) as error:
        NewUpload(name="x", sha256="abc")
    assert field_of(error) == "sha256"


@pytest.mark.parametrize(
    ("name", "start", "media_type", "expected"),
    [
        ("x.parquet", b"?", "", "FILE_FORMAT_PARQUET"),
        ("x.csv", b"PAR1....", "", "FILE_FORMAT_PARQUET"),
        ("x.bin", b"ARROW1..", "", "FILE_FORMAT_ARROW"),
        ("x.JSONL", b"{}", "", "FILE_FORMAT_JSONL"),
        ("x", b"a,b", "text/csv; charset=utf-8", "FILE_FORMAT_CSV"),
        ("x", b' {"a": 1}', "", "FILE_FORMAT_JSONL"),
        ("x", b"?", "", ""),
    ],
)
def test_a_format_is_guessed(name: str, start: bytes, media_type: str, expected: str) -> None:
    assert guessed_format(name, media_type, start) == expected


@pytest.mark.parametrize(
    ("name", "plain"),
    [("rows.csv", "rows.csv"), ("über zwei.csv", "_ber_zwei.csv"), ("...", "file"), (".hidden", "hidden")],
)
def test_a_name_for_a_scratch_folder_is_plain(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x/deep/rows.csv?x=1#y", "rows.csv"),
        ("https://x/a%20b.csv", "a b.csv"),
        ("https://x/%2e%2e%2fetc", ".._etc"),
        ("https://x/", "file"),
        ("https://x/..", "file"),
    ],
)
def test_a_file_behind_a_url_gets_a_plain_name(url: str, name: str) -> None:
    assert file_name(url) == name
    NewUpload(name=file_name(url))


def test_force_needs_a_reason() -> None:
    check_reason("", force=False)
    check_reason("because", force=True)
    for reason, force in (("", True), ("  ", True), ("x" * 1025, False), ("a\x00b", True)):
        with pytest.raises(ValidationError) as error:
            check_reason(reason, force=force)
        assert field_of(error) == "reason"
