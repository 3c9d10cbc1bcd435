"""A claimed `data_processing` job, and how it can end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.agent.domain.files import FileInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingClaim:
    """`token` shows that the job is held. With a `result` nothing is left to do."""

    token: bytes
    job: bytes
    inputs: Sequence[FileInfo]
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ProcessingEnd:
    """`rejected` says which expectations failed; empty when none did."""

    result: Mapping[str, Any]
    rejected: str = ""
