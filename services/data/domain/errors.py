"""What can go wrong with datasets, versions, uploads and claims.

DataError
|-- DatasetInUse, VersionNotReady, VersionDamaged, ClaimRefused, FetchFailed, ConversionFailed
|-- ClaimStale, LeaseLost
`-- RequestReused
NotFound > DatasetNotFound, VersionNotFound, PartNotFound, UploadNotFound, InputNotFound
ValidationError > FileTooLarge, ChecksumMismatch, UrlRefused
Exhausted > QuotaExceeded, TooManyConversions
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from automesh.core.errors import AutomationError, Exhausted, Kind, NotFound, ValidationError

COME_BACK = timedelta(seconds=5)
_SHOWN = 3


class DataError(AutomationError):
    """Something about a dataset."""

    kind = Kind.PRECONDITION
    reason = "DATA"


class DatasetInUse(DataError):
    """Models or other datasets were made of it."""

    reason = "DATASET_IN_USE"


class VersionNotReady(DataError):
    """The version is still being made, or could not be made: it cannot be read."""

    reason = "VERSION_NOT_READY"


class VersionDamaged(DataError):
    """A file of the version is not what its maker should have written."""

    reason = "VERSION_DAMAGED"


class ClaimRefused(DataError):
    """The task has no version to make: it is cancelled, or belongs to another task."""

    reason = "CLAIM_REFUSED"


class FetchFailed(DataError):
    """The file behind a URL could not be had."""

    reason = "URL_FETCH_FAILED"


class ConversionFailed(DataError):
    """The stored file could not be turned into the format that was asked for."""

    reason = "CONVERSION_FAILED"


class ClaimStale(DataError):
    """Another attempt has claimed the version since: nothing said under the old claim counts."""

    kind = Kind.ABORTED
    reason = "CLAIM_STALE"


class RequestReused(DataError):
    """The request_id stands for another version already."""

    kind = Kind.CONFLICT
    reason = "REQUEST_ID_REUSED"


class DatasetNotFound(NotFound):
    """No such dataset, or one of another tenant: the two look alike on purpose."""

    reason = "DATASET_NOT_FOUND"


class VersionNotFound(NotFound):
    """The dataset has no such version."""

    reason = "VERSION_NOT_FOUND"


class PartNotFound(NotFound):
    """The version has no such part."""

    reason = "PART_NOT_FOUND"


class UploadNotFound(NotFound):
    """No such upload, or it has expired, or belongs to another tenant."""

    reason = "UPLOAD_NOT_FOUND"


class InputNotFound(NotFound):
    """The claimed job has no such input."""

    reason = "INPUT_NOT_FOUND"


class FileTooLarge(ValidationError):
    """The file is larger than this installation allows."""

    reason = "FILE_TOO_LARGE"


class ChecksumMismatch(ValidationError):
    """The bytes that came are not those that were announced."""

    reason = "CHECKSUM_MISMATCH"


class UrlRefused(ValidationError):
    """The URL is not on the operator's allow-list, or leads where nobody may go."""

    reason = "URL_REFUSED"


class QuotaExceeded(Exhausted):
    """The tenant keeps as many bytes as it may."""

    reason = "QUOTA_EXCEEDED"


class TooManyConversions(Exhausted):
    """As many files are being converted as may be at the same time."""

    reason = "TOO_MANY_CONVERSIONS"


def dataset_not_found(data_id: str) -> DatasetNotFound:
    """The error for a dataset that is not there, or not the caller's."""
    return DatasetNotFound(f"there is no dataset {data_id[:80]!r}", dataId=data_id[:80])


def version_not_found(data_id: str, version: int) -> VersionNotFound:
    """The error for a version that is not there; version 0 stands for the latest that is READY."""
    if version == 0:
        return VersionNotFound(f"dataset {data_id} has no version that is READY yet", dataId=data_id)
    return VersionNotFound(f"dataset {data_id} has no version {version}", dataId=data_id, version=version)


def version_not_ready(data_id: str, version: int, state: str, why: str = "") -> VersionNotReady:
    """The error for reading a version that cannot be read."""
    because = f": {why}" if why else ""
    return VersionNotReady(
        f"version {version} of dataset {data_id} is {state}{because}", dataId=data_id, version=version, state=state
    )


def version_damaged(data_id: str, version: int, name: str) -> VersionDamaged:
    """The error for a version whose file `name` cannot be understood."""
    return VersionDamaged(
        f"{name} of version {version} of dataset {data_id} is damaged: make another version",
        dataId=data_id,
        version=version,
    )


def upload_not_found(upload_id: str) -> UploadNotFound:
    """The error for an upload that is not there, any more or at all."""
    return UploadNotFound(
        f"there is no upload {upload_id[:80]!r}: it may have expired, upload the file again", uploadId=upload_id[:80]
    )


def claim_stale() -> ClaimStale:
    """The error for a claim token that is not, or no longer, good."""
    return ClaimStale("this claim was replaced by that of a later attempt, or is none of ours: stop working on it")


def file_too_large(limit: int, *, setting: str, field: str) -> FileTooLarge:
    """The error for more bytes than one file may have."""
    return FileTooLarge(
        f"a file has at most {limit} bytes here: send less, or ask the operator to raise {setting}",
        field=field,
        limit=limit,
    )


def quota_exceeded(used: int, limit: int) -> QuotaExceeded:
    """The error for a tenant that keeps `used` bytes already."""
    return QuotaExceeded(
        f"your datasets and uploads take {used} bytes, and no more than {limit} may be kept: "
        "delete datasets that you do not need, or ask the operator to raise AUTOMESH_DATA_MAX_TENANT_BYTES",
        retry_after=COME_BACK,
        used=used,
        limit=limit,
    )


def dataset_in_use(data_id: str, dependents: Sequence[str]) -> DatasetInUse:
    """The error that names the first of those that depend on a dataset."""
    shown = ", ".join(dependents[:_SHOWN])
    more = f" and {len(dependents) - _SHOWN} more" if len(dependents) > _SHOWN else ""
    return DatasetInUse(
        f"{shown}{more} depend on dataset {data_id}: delete them first, or force it with a reason",
        dataId=data_id,
        dependents=len(dependents),
    )
