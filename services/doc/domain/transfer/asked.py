"""What an import or export was asked for, as its job keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from automesh.core.errors import ValidationError
from services.doc.domain.branches.branch import check_name
from services.doc.domain.documents.document import MAX_MESSAGE
from services.doc.domain.documents.path import folder_prefix
from services.doc.domain.spaces.space import MAIN

ZIP, TAR_GZ, GIT_BUNDLE = "ZIP", "TAR_GZ", "GIT_BUNDLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportAsked:
    """Folders are "" or end in "/"."""

    branch: str = MAIN
    prefix: str = ""
    root: str = ""
    message: str = "imported"
    delete_missing: bool = False
    blob: str = ""

    @classmethod
    def checked(
        cls, *, branch: str = "", prefix: str = "", root: str = "", message: str = "", delete_missing: bool = False
    ) -> ImportAsked:
        """As somebody asks for it. Raises ValidationError."""
        if len(message) > MAX_MESSAGE or "\x00" in message:
            raise ValidationError(f"a message has at most {MAX_MESSAGE} characters, none of them NUL", field="message")
        return cls(
            branch=check_name(branch or MAIN),
            prefix=folder_prefix(prefix),
            root=folder_prefix(root, field="root"),
            message=message or "imported",
            delete_missing=delete_missing,
        )

    @classmethod
    def of_json(cls, asked: Mapping[str, Any]) -> ImportAsked:
        """As the job keeps it."""
        return cls(**asked)

    def to_json(self) -> dict[str, Any]:
        """For the job."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAsked:
    """The folder is "" or ends in "/"."""

    branch: str = MAIN
    prefix: str = ""
    format: str = ZIP
    blob: str = ""

    @classmethod
    def checked(cls, *, branch: str = "", prefix: str = "", format: str = ZIP) -> ExportAsked:
        """As somebody asks for it. Raises ValidationError."""
        return cls(branch=check_name(branch or MAIN), prefix=folder_prefix(prefix), format=format)

    @classmethod
    def of_json(cls, asked: Mapping[str, Any]) -> ExportAsked:
        """As the job keeps it."""
        return cls(**asked)

    def to_json(self) -> dict[str, Any]:
        """For the job."""
        return asdict(self)
