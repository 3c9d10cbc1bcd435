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
MAX_DEPTH = 20  # messages hold a third of the hundred levels that protobuf reads
PARTS = ("train", "validation", "test")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def manifest(content: bytes) -> Manifest:
    """The manifest in a FinishProcessing call. Raises ValidationError, naming what is wrong."""
    told = _object(content)
    state = told.get("state")
    if state not in (State.READY, State.REJECTED):
        raise _wrong("state", f"{state!r} is neither READY nor REJECTED")
    ready = state == State.READY
    files = _files(told, needed={PREVIEW, STATISTICS} if ready else set())
    _check_shown(told)
    return Manifest(
        state=State(state),
        rows=_count(told, "rows"),
        size=sum(info.size for info in files),
        digest=_digest(told, required=ready),
        parts=_parts(told, {info.name for info in files}, required=ready),
        files=files,
        json=told,
    )


def columns(told: Mapping[str, Any]) -> list[dataset_pb2.Column]:
    """Columns in order."""
    return [values.of_json(each, dataset_pb2.Column(), field="manifest.columns") for each in _list(told, "columns")]


def parts(told: Mapping[str, Any]) -> list[dataset_pb2.Part]:
    """Parts in order."""
    return [
        dataset_pb2.Part(
            name=each["name"],
            rows=int(each.get("rows") or 0),
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
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"the manifest is not JSON: {error}", field="manifest") from error
    if not isinstance(told, dict):
        raise ValidationError("the manifest is not a JSON object", field="manifest")
    return told


def _check_shown(told: Mapping[str, Any]) -> None:
    """What is stored now is shown to people ever after: it has to be possible."""
    if len(columns(told)) > MAX_COLUMNS:
        raise _wrong("columns", f"more than {MAX_COLUMNS}")
    window(told)
    report(told)
    if not isinstance(told.get("facts") or {}, dict) or _is_deep(told.get("facts"), MAX_DEPTH):
        raise _wrong("facts", f"is not a JSON object, or nested more than {MAX_DEPTH} deep")
    try:
        facts(told)
    except ValueError as error:
        raise _wrong("facts", f"cannot be shown: {error}") from error


def _is_deep(value: Any, most: int) -> bool:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most == 0 or any(_is_deep(each, most - 1) for each in below)


def _files(told: Mapping[str, Any], *, needed: set[str]) -> list[FileInfo]:
    files = [_file(each) for each in _list(told, "files")]
    names = {info.name for info in files}
    if len(names) != len(files) or len(files) > MAX_FILES:
        raise _wrong("files", f"there are more than {MAX_FILES}, or two of one name")
    if missing := needed - names:
        raise _wrong("files", f"{' and '.join(sorted(missing))} belong to a version that is READY")
    return files


def _parts(told: Mapping[str, Any], names: set[str], *, required: bool) -> list[Part]:
    found = [_part(each, names) for each in _list(told, "parts")]
    if (required and not found) or len({part.name for part in found}) != len(found):
        raise _wrong("parts", "there is none, or two of one name")
    return found


def _part(each: Mapping[str, Any], names: set[str]) -> Part:
    name, file, windows_file = each.get("name"), each.get("file"), each.get("windows_file") or ""
    if name not in PARTS or str(file) not in names or str(windows_file) not in {"", *names}:
        raise _wrong("parts", f"{name!r} in {file!r} is none of {', '.join(PARTS)} in one of the files")
    for count in ("windows", "series"):
        _count(each, count, "parts.")
    return Part(str(name), _count(each, "rows", "parts."), str(file), str(windows_file))


def _file(each: Mapping[str, Any]) -> FileInfo:
    name, sha256 = str(each.get("name", "")), str(each.get("sha256", ""))
    check_path(name)
    if not _SHA256.fullmatch(sha256):
        raise _wrong("files", f"{name}: sha256 is not 64 hexadecimal digits")
    return FileInfo(name, _count(each, "size", "files."), sha256)


def _list(told: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = told.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _wrong(key, "is not a list of objects")
    return found


def _count(told: Mapping[str, Any], key: str, within: str = "") -> int:
    try:
        count = int(told.get(key) or 0)
    except (TypeError, ValueError, OverflowError) as error:
        raise _wrong(f"{within}{key}", "is not a number") from error
    if not 0 <= count < 2**63:
        raise _wrong(f"{within}{key}", f"{count} is no count")
    return count


def _digest(told: Mapping[str, Any], *, required: bool) -> str:
    digest = str(told.get("digest") or "")
    if (digest or required) and not _SHA256.fullmatch(digest):
        raise _wrong("digest", "is not 64 hexadecimal digits")
    return digest


def _wrong(key: str, what: str) -> ValidationError:
    return ValidationError(f"manifest.{key}: {what}", field=f"manifest.{key}")
