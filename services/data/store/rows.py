"""Rows of datasets and versions, both ways. Recipe, manifest and failure are sealed to their version."""

from __future__ import annotations

import json
from typing import Any

from automesh.storage.postgres import Record
from automesh.storage.sealing import Sealer, place
from services.data.domain.dataset import Dataset
from services.data.domain.upload import Upload
from services.data.domain.version import Failure, FileInfo, Manifest, Origin, Recipe, State, StoredFile, Version

RECIPE, MANIFEST, FAILURE = "recipe", "manifest", "failure"


class VersionRows:
    """Seals on the way in, unseals on the way out."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def recipe(self, data_id: str, version: int, recipe: Recipe) -> bytes:
        """Sealed."""
        origin = [recipe.origin.kind, recipe.origin.id, recipe.origin.version]
        told = {
            "source": recipe.source,
            "pipeline": recipe.pipeline,
            "origin": origin,
            "references": list(recipe.references),
        }
        return self._seal(RECIPE, data_id, version, told)

    def manifest(self, data_id: str, version: int, manifest: Manifest) -> bytes:
        """Sealed."""
        return self._seal(MANIFEST, data_id, version, manifest.json)

    def failure(self, data_id: str, version: int, failure: Failure) -> bytes:
        """Sealed: a message may quote what stands in the data."""
        return self._seal(FAILURE, data_id, version, [failure.reason, failure.message])

    def fingerprint(self, tenant_id: str, request_id: str, fingerprint: bytes) -> bytes:
        """Sealed, so that nobody guesses orders from it."""
        return self._sealer.seal(fingerprint, place("version_request", tenant_id, request_id))

    def same_fingerprint(self, tenant_id: str, request_id: str, sealed: bytes, fingerprint: bytes) -> bool:
        """Whether the sealed one is this one."""
        return self._sealer.unseal(sealed, place("version_request", tenant_id, request_id)) == fingerprint

    def version(self, row: Record) -> Version:
        """The version of a whole row."""
        failure = self._unseal(FAILURE, row)
        return Version(
            tenant_id=row["tenant_id"],
            data_id=row["data_id"],
            version=row["version"],
            state=State(row["state"]),
            recipe=_recipe(self._unseal(RECIPE, row)),
            task_id=row["task_id"] or "",
            upload_id=row["upload_id"] or "",
            created_by=row["created_by"],
            created_at=row["created_at"],
            finished_at=row["finished_at"],
            rows=row["rows"],
            size=row["size"],
            digest=row["digest"],
            manifest=self._unseal(MANIFEST, row) or {},
            failure=Failure(*failure) if failure else None,
        )

    def _seal(self, what: str, data_id: str, version: int, content: object) -> bytes:
        return self._sealer.seal(json.dumps(content).encode(), _place(what, data_id, version))

    def _unseal(self, what: str, row: Record) -> Any:
        if row[what] is None:
            return None
        return json.loads(self._sealer.unseal(row[what], _place(what, row["data_id"], row["version"])))


def dataset(row: Record) -> Dataset:
    """The dataset of a whole row."""
    return Dataset(
        data_id=row["data_id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        description=row["description"],
        labels=json.loads(row["labels"]),
        latest_version=row["latest_version"],
        last_version=row["last_version"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def upload(row: Record) -> Upload:
    """The upload of a whole row."""
    return Upload(
        upload_id=row["upload_id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        format=row["format"],
        size=row["size"],
        sha256=row["sha256"],
        blob=row["blob"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )


def file(row: Record) -> StoredFile:
    """The file of a whole row."""
    return StoredFile(FileInfo(row["name"], row["size"], row["sha256"]), row["blob"])


def _recipe(told: Any) -> Recipe:
    return Recipe(
        source=told["source"],
        pipeline=told["pipeline"],
        origin=Origin(*told["origin"]),
        references=tuple((data_id, version) for data_id, version in told["references"]),
    )


def _place(what: str, data_id: str, version: int) -> bytes:
    return place("version", what, data_id, str(version))
