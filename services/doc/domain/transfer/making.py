"""Revisions out of what an import brings: decoded, merged, read. CPU only, to be done in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from automesh.core.errors import ValidationError
from services.doc.domain.documents import diff
from services.doc.domain.documents.document import MAX_MESSAGE, Change, Write
from services.doc.domain.documents.merge import merge
from services.doc.domain.documents.text import Text, read
from services.doc.domain.jobs.job import Problem, Tally
from services.doc.domain.transfer.deciding import Action, Decision, Place, conflict_note
from services.doc.domain.transfer.planning import Planned

_CHANGES = {
    Action.CREATE: Change.CREATE,
    Action.UPDATE: Change.EDIT,
    Action.MERGE: Change.MERGE,
    Action.RESTORE: Change.RESTORE,
    Action.RENAME: Change.RENAME,
}


@dataclass(frozen=True, slots=True)
class Made:
    """A write that is ready; `base` is what the source brought."""

    write: Write
    text: Text
    before: Place | None
    base: str
    planned: Planned | None
    brought: str = ""
    """Of a merge: what the source brought. The next import starts from it, and no revision has it."""

    @property
    def tally(self) -> Tally:
        """How it counts."""
        if self.write.deleted:
            return Tally(deleted=1)
        if self.write.change is Change.RENAME:
            return Tally(renamed=1)
        return Tally(created=1) if not self.write.expected else Tally(updated=1)


@dataclass(frozen=True, slots=True)
class Said:
    """Of a step: its message (empty: the import's) and who else wrote it."""

    message: str = ""
    co_authors: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """For one import: where to, by whom, and why."""

    tenant_id: str
    space: str
    branch: str
    user: str
    message: str
    make_id: Callable[[str], str]
    max_bytes: int

    def make(self, planned: Planned, body: bytes | None, texts: Mapping[str, str], said: Said) -> Made | Problem:
        """`texts` by hash: what is here and what came before, as far as it is known."""
        place, action = planned.decision.place, planned.decision.action
        try:
            content = texts[place.sha256] if action is Action.RENAME and place else _decoded(body or b"")
            brought = ""
            if action is Action.MERGE and place:
                brought, content = content, _merged(planned.decision, place, content, texts)
            text = read(content, planned.path, max_bytes=self.max_bytes)
            write = self._write(place, _CHANGES[action], (planned.path, content), texts, said)
        except ValidationError as error:
            return Problem(planned.arrival.path, error.message)
        return Made(write, text, place, planned.arrival.sha256, planned, brought)

    def delete(self, place: Place, content: str, said: Said) -> Made:
        """Puts it in the trash."""
        text = read(content, place.path, max_bytes=max(self.max_bytes, len(content.encode())))
        texts = {place.sha256: content}
        write = self._write(place, Change.DELETE, (place.path, content), texts, said)
        return Made(write, text, place, "", None)

    def _write(
        self, place: Place | None, change: Change, new: tuple[str, str], texts: Mapping[str, str], said: Said
    ) -> Write:
        path, content = new
        if change is Change.EDIT and place is not None and place.path != path:
            change = Change.RENAME if texts.get(place.sha256) == content else change
        counts = diff.counts(texts.get(place.sha256, "") if place else "", content)
        return Write(
            tenant_id=self.tenant_id,
            space=self.space,
            branch=self.branch,
            document_id=place.document_id if place else self.make_id("doc"),
            revision_id=self.make_id("rev"),
            expected=place.revision_id if place else "",
            change=change,
            path=path,
            content=content,
            author=self.user,
            co_authors=said.co_authors,
            message=(said.message or self.message)[:MAX_MESSAGE].replace("\x00", ""),
            lines_added=counts.added,
            lines_removed=counts.removed,
            deleted=change is Change.DELETE,
        )


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ValidationError(
            f"line {line} has the byte 0x{body[error.start]:02x}, which is not UTF-8: save the file as UTF-8",
            field="content",
        ) from error


def _merged(decision: Decision, place: Place, content: str, texts: Mapping[str, str]) -> str:
    """Raises ValidationError when somebody has to decide."""
    lines: Sequence[int] = ()
    for base in decision.bases:
        if base in texts:
            merged = merge(texts[base], content, texts[place.sha256])
            if merged.clean:
                return merged.content
            lines = lines or [each.line for each in merged.conflicts]
    raise ValidationError(conflict_note(place.updated_by, lines), field="content")
