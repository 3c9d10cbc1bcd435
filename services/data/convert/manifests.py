"""What the program said with `done` (the manifest), checked before any of it is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import Struct

from automesh.core.errors import ValidationError
from automesh.data.v1 import dataset_pb2, pipeline_pb2
from services.data.convert import values
from services.data.domain.claims import check_path
from services.data.domain.job import STATISTICS
from services.data.domain.reader import PREVIEW
from services.data.domain.version import FileInfo, Manifest, Part, State

MAX_BYTES = 8 * 1024 * 1024
MAX_FILES, MAX_COLUMNS = 100, 4096
PARTS = ("train", "validation", "test")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def manifest(content: bytes) -> Manifest:
    """The manifest in a FinishProcessing call. Raises ValidationError, naming what is wrong."""
    told = _object(content)
    state = told.get("state")
    if state not in (State.READY, State.REJECTED):
        raise _wrong("state", f"{state!r} is neither READY nor REJECTED")
    files = [_file(each) for each in _list(told, "files")]
    names = {info.name for info in files}
    if len(names) != len(files) or len(files) > MAX_FILES:
        raise _wrong("files", f"there are more than {MAX_FILES}, or two of one name")
    report(told)
    if state == State.READY and not {PREVIEW, STATISTICS} <= names:
        raise _wrong("files", f"{PREVIEW} and {STATISTICS} belong to a version that is READY")
    parts = _parts(told, names) if state == State.READY else []
    return Manifest(
        state=State(state),
        rows=_count(told, "rows"),
        size=sum(info.size for info in files),
        digest=_digest(told, required=state == State.READY),
        parts=parts,
        files=files,
        json=told,
    )


def columns(told: Mapping[str, Any]) -> list[dataset_pb2.Column]:
    """Columns in order."""
    return [values.of_json(each, dataset_pb2.Column(), field="manifest.columns") for each in told.get("columns") or ()]


def parts(told: Mapping[str, Any]) -> list[dataset_pb2.Part]:
    """Parts in order."""
    return [
        dataset_pb2.Part(
            name=each["name"],
            rows=int(each["rows"]),
            windows=int(each.get("windows") or 0),
            series=int(each.get("series") or 0),
        )
        for each in told.get("parts") or ()
    ]


def window(told: Mapping[str, Any]) -> pipeline_pb2.WindowStep | None:
    """How series were cut; None where they were not."""
    found = told.get("window")
    return values.of_json(found, pipeline_pb2.WindowStep(), field="manifest.window") if found else None


def report(told: Mapping[str, Any]) -> dataset_pb2.ValidationReport | None:
    """What came of the expectations; None where there were none."""
    found = told.get("report")
    return values.of_json(found, dataset_pb2.ValidationReport(), field="manifest.report") if found else None


def facts(told: Mapping[str, Any]) -> Struct | None:
    """What steps took from the training part."""
    found = told.get("facts")
    return values.struct(found) if found else None


def _object(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_BYTES:
        raise ValidationError(f"a manifest of {len(content)} bytes is more than {MAX_BYTES}", field="manifest")
    try:
        told = json.loads(content)
    except ValueError as error:
        raise ValidationError(f"the manifest is not JSON: {error}", field="manifest") from error
    if not isinstance(told, dict):
        raise ValidationError("the manifest is not a JSON object", field="manifest")
    if len(columns(told)) > MAX_COLUMNS:
        raise _wrong("columns", f"more than {MAX_COLUMNS}")
    window(told)
    return told


def _parts(told: Mapping[str, Any], names: set[str]) -> list[Part]:
    found = []
    for each in _list(told, "parts"):
        name, file = each.get("name"), each.get("file")
        if name not in PARTS or file not in names:
            raise _wrong("parts", f"{name!r} in {file!r} is none of {', '.join(PARTS)} in one of the files")
        found.append(Part(name, _count(each, "rows"), file, each.get("windows_file") or ""))
    if not found or len({part.name for part in found}) != len(found):
        raise _wrong("parts", "there is none, or two of one name")
    return found


def _file(each: Any) -> FileInfo:
    name = str(each.get("name", "")) if isinstance(each, dict) else ""
    check_path(name)
    sha256 = str(each.get("sha256", ""))
    if not _SHA256.fullmatch(sha256):
        raise _wrong("files", f"{name}: sha256 is not 64 hexadecimal digits")
    return FileInfo(name, _count(each, "size"), sha256)


def _list(told: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = told.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _wrong(key, "is not a list of objects")
    return found


def _count(told: Mapping[str, Any], key: str) -> int:
    try:
        count = int(told.get(key) or 0)
    except (TypeError, ValueError) as error:
        raise _wrong(key, "is not a number") from error
    if not 0 <= count < 2**63:
        raise _wrong(key, f"{count} is no count")
    return count


def _digest(told: Mapping[str, Any], *, required: bool) -> str:
    digest = str(told.get("digest") or "")
    if (digest or required) and not _SHA256.fullmatch(digest):
        raise _wrong("digest", "is not 64 hexadecimal digits")
    return digest


def _wrong(key: str, what: str) -> ValidationError:
    return ValidationError(f"manifest.{key}: {what}", field=f"manifest.{key}")
