"""A dataset: a name, labels, and a series of versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from automesh.core.errors import ValidationError

MAX_NAME, MAX_DESCRIPTION = 200, 4096
MAX_LABELS, MAX_LABEL = 64, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset as it stands. `latest_version` is the latest that is READY; 0 before the first."""

    data_id: str
    tenant_id: str
    name: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    latest_version: int = 0
    last_version: int = 0
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDataset:
    """What somebody wants to call a dataset; checked here, so that no invalid one exists."""

    name: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_description(self.description)
        check_labels(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEdit:
    """What PUT replaces; an empty name stays as it is."""

    name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name:
            check_name(self.name)
        check_description(self.description)
        check_labels(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetQuery:
    """A page of datasets, the latest change first; empty filters let everything pass.

    `before` are the update time (ISO) and the id of the last dataset of the page before.
    """

    limit: int
    before: tuple[datetime, str] | None = None
    name_contains: str = ""
    label: tuple[str, str] | None = None


def check_name(name: str) -> None:
    """Raises ValidationError for a name that is none."""
    if not name.strip() or len(name) > MAX_NAME:
        raise ValidationError(f"a dataset's name has 1 to {MAX_NAME} characters, not {len(name)}", field="name")
    if not name.isprintable():
        raise ValidationError("a dataset's name has no control characters", field="name")


def check_description(description: str) -> None:
    """Raises ValidationError for one that is too long."""
    if len(description) > MAX_DESCRIPTION or "\x00" in description:
        raise ValidationError(
            f"description has more than {MAX_DESCRIPTION} characters, or a NUL character", field="description"
        )


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises ValidationError for too many, and for keys and values that are too long."""
    if len(labels) > MAX_LABELS:
        raise ValidationError(f"{len(labels)} labels are more than {MAX_LABELS}", field="labels")
    for key, value in labels.items():
        if not key or len(key) > MAX_LABEL or len(value) > MAX_LABEL or not (key + value).isprintable():
            raise ValidationError(
                f"label {key[:40]!r}: keys have 1 to {MAX_LABEL} printable characters, values at most as many",
                field="labels",
            )
