"""Every change of a document goes through here: checked, then written on top of the head that its writer has read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

from automesh.core.errors import ValidationError
from services.doc.domain.branches.branch import check_name
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.documents import diff
from services.doc.domain.documents.document import Change, Document, Head, Write
from services.doc.domain.documents.lines import lines_of
from services.doc.domain.documents.merging import MergeOutcome, Merger, StaleWrite
from services.doc.domain.documents.pace import paced
from services.doc.domain.documents.path import document_path
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.documents.requests import Edit, NewDocument, Restore, Written
from services.doc.domain.documents.text import Text, read
from services.doc.domain.errors import (
    DocumentTrashed,
    SpaceNotFound,
    StaleHead,
    document_not_found,
    findings_refused,
)
from services.doc.domain.spaces.access import Person, check_unprotected
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import Level, MemberRole, Space
from services.doc.domain.validation.checks import Checks, Finding

TRIES = 5
"""A clean merge is tried again so often when yet another write comes between."""


class DocumentWriter:
    """Makes revisions for people."""

    def __init__(
        self,
        documents: DocumentStore,
        directory: SpaceDirectory,
        checks: Checks,
        doorbell: Doorbell,
        *,
        make_id: Callable[[str], str],
        max_bytes: int,
    ) -> None:
        self._documents, self._directory, self._checks, self._doorbell = documents, directory, checks, doorbell
        self._merger = Merger(documents)
        self._make_id, self._max_bytes = make_id, max_bytes

    async def create(self, person: Person, new: NewDocument) -> Written:
        """Raises PathTaken, BranchNotFound, BranchProtected, RequestReused, and what is wrong with the text."""
        space = await self._writable(person, new.space, new.branch)
        path = document_path(new.path)
        content = await paced(len(new.content), _titled, new.content, new.title)
        text = await self._read(content, path)
        findings = await self._checked(space, new.branch, path, text)
        write = Write(
            tenant_id=person.tenant_id,
            space=new.space,
            branch=new.branch,
            document_id=self._make_id("doc"),
            revision_id=self._make_id("rev"),
            expected="",
            change=Change.CREATE,
            path=path,
            content=content,
            author=person.user,
            co_authors=new.co_authors,
            message=new.message or "created",
            lines_added=len(lines_of(content)),
            request_id=new.request_id,
            fingerprint=_fingerprint(new.space, new.branch, path, content),
        )
        return Written(document=await self._write(write, text), findings=findings)

    async def update(self, person: Person, edit: Edit) -> Written:
        """Raises StaleWrite (with a ready merge), PathTaken, DocumentTrashed, and what is wrong with the text."""
        _check_expected(edit.expected)
        head = await self._documents.head(person.tenant_id, edit.document_id, edit.branch)
        space = await self._writable_document(person, head)
        for _ in range(TRIES):
            try:
                return await self._update(person, edit, head, space)
            except StaleHead as stale:
                outcome = await self._outcome(person, edit, stale)
                if not (edit.merge_if_clean and outcome.clean):
                    raise StaleWrite(stale.head, edit.expected, outcome) from stale
                try:
                    return await self._update_merged(person, edit, stale.head, space, outcome)
                except StaleHead:  # and yet another one: merge with that
                    head = await self._documents.head(person.tenant_id, edit.document_id, edit.branch)
        raise StaleWrite(head, edit.expected, await self._outcome(person, edit, StaleHead(head, edit.expected)))

    async def delete(self, person: Person, document_id: str, branch: str, expected: str, message: str) -> Head:
        """Puts it in the trash. Raises StaleHead, DocumentTrashed."""
        _check_expected(expected)
        document = await self._documents.document(person.tenant_id, document_id, branch)
        head = document.head
        await self._writable_document(person, head)
        if head.deleted_at is not None and head.revision_id == expected:
            raise _trashed(head)
        write = await self._next(
            person,
            head,
            expected,
            Change.DELETE,
            path=head.path,
            content=document.content,
            message=message or "deleted",
        )
        text = await self._read(document.content, head.path, head.size)
        return (await self._write(write, text)).head

    async def restore(self, person: Person, restore: Restore) -> Document:
        """A new revision with what an earlier one had. Raises StaleHead, PathTaken, RevisionNotFound."""
        _check_expected(restore.expected)
        tenant_id = person.tenant_id
        head = await self._documents.head(tenant_id, restore.document_id, restore.branch)
        await self._writable_document(person, head)
        wanted = await self._documents.revision(tenant_id, restore.document_id, restore.revision_id or head.revision_id)
        content = await self._documents.content(tenant_id, wanted.sha256)
        path = document_path(restore.path or wanted.path)
        message = restore.message or f"restored {wanted.revision_id}"
        write = await self._next(
            person, head, restore.expected, Change.RESTORE, path=path, content=content, message=message
        )
        return await self._write(write, await self._read(content, path, wanted.size))

    async def _update(self, person: Person, edit: Edit, head: Head, space: Space) -> Written:
        if head.revision_id != edit.expected and not edit.request_id:
            raise StaleHead(head, edit.expected)
        if head.deleted_at is not None and head.revision_id == edit.expected:
            raise _trashed(head)
        before = await self._documents.revision(person.tenant_id, edit.document_id, edit.expected)
        old = await self._documents.content(person.tenant_id, before.sha256)
        content = old if edit.content is None else edit.content
        path = document_path(edit.path) if edit.path else await self._path(person.tenant_id, edit, head)
        text = await self._read(content, path)
        findings = await self._checked(space, edit.branch, path, text)
        change = Change.MERGE if edit.merged else Change.RENAME if path != before.path else Change.EDIT
        write = await self._next(
            person,
            head,
            edit.expected,
            change,
            path=path,
            content=content,
            message=edit.message,
            old=old,
            edit=edit,
            merged=edit.merged,
        )
        return Written(document=await self._write(write, text), findings=findings)

    async def _update_merged(
        self, person: Person, edit: Edit, head: Head, space: Space, outcome: MergeOutcome
    ) -> Written:
        if head.deleted_at is not None:
            raise _trashed(head)
        path = document_path(edit.path) if edit.path else head.path
        text = await self._read(outcome.content, path)
        findings = await self._checked(space, edit.branch, path, text)
        old = await self._documents.content(person.tenant_id, head.sha256)
        write = await self._next(
            person,
            head,
            head.revision_id,
            Change.MERGE,
            path=path,
            content=outcome.content,
            message=edit.message,
            old=old,
            edit=edit,
        )
        return Written(document=await self._write(write, text), findings=findings, merged=True)

    async def _path(self, tenant_id: str, edit: Edit, head: Head) -> str:
        """Where it is, unless only the other side of the merge has moved it. Raises RevisionNotFound."""
        if not edit.merged:
            return head.path
        merged = await self._documents.revision(tenant_id, edit.document_id, edit.merged)
        graph = await self._documents.graph(tenant_id, edit.document_id)
        common = await self._documents.revisions(tenant_id, [graph.ancestor(edit.expected, edit.merged)])
        return merged.path if common and common[0].path == head.path else head.path

    async def _outcome(self, person: Person, edit: Edit, stale: StaleHead) -> MergeOutcome:
        tenant_id = person.tenant_id
        before = await self._documents.revision(tenant_id, edit.document_id, edit.expected)
        content = edit.content
        if content is None:
            content = await self._documents.content(tenant_id, before.sha256)
        return await self._merger.onto(
            tenant_id, edit.document_id, expected=edit.expected, content=content, head=stale.head.revision_id
        )

    async def _next(
        self,
        person: Person,
        head: Head,
        expected: str,
        change: Change,
        *,
        path: str,
        content: str,
        message: str,
        old: str | None = None,
        edit: Edit | None = None,
        merged: str = "",
    ) -> Write:
        counts = await paced(len(content), diff.counts, content if old is None else old, content)
        return Write(
            tenant_id=person.tenant_id,
            space=head.space,
            branch=head.branch,
            document_id=head.document_id,
            revision_id=self._make_id("rev"),
            expected=expected,
            change=change,
            path=path,
            content=content,
            author=person.user,
            co_authors=edit.co_authors if edit else (),
            message=message or _said(change, counts, head.path, path),
            merged=merged,
            lines_added=counts.added,
            lines_removed=counts.removed,
            deleted=change is Change.DELETE,
            request_id=edit.request_id if edit else "",
            fingerprint=_edit_fingerprint(edit) if edit else b"",
        )

    async def _read(self, content: str, path: str, size: int = 0) -> Text:
        """`size`: bytes that are allowed because they were once."""
        return await paced(len(content), read, content, path, max_bytes=max(self._max_bytes, size))

    async def _write(self, write: Write, text: Text) -> Document:
        head = await self._documents.write(write, text)
        self._doorbell.ring()
        if head.revision_id == write.revision_id:
            return Document(head, write.content)
        return Document(head, await self._documents.content(head.tenant_id, head.sha256))  # a repeat: as it stands

    async def _writable(self, person: Person, space: str, branch: str) -> Space:
        found = await self._directory.find(person, space, MemberRole.WRITER)
        check_name(branch)
        check_unprotected(found, branch, "write to a branch")
        return found

    async def _writable_document(self, person: Person, head: Head) -> Space:
        """A document of a space that somebody does not find is not there."""
        try:
            return await self._writable(person, head.space, head.branch)
        except SpaceNotFound as error:
            raise document_not_found(head.document_id, head.branch) from error

    async def _checked(self, space: Space, branch: str, path: str, text: Text) -> Sequence[Finding]:
        findings = await self._checks.findings(space, branch, path, text)
        refused = [finding for finding in findings if finding.level is Level.REFUSE]
        if refused:
            raise findings_refused([(each.rule, each.line, each.message) for each in refused])
        return findings


def _titled(content: str, title: str) -> str:
    if not title or read(content, "-", max_bytes=max(1, 4 * len(content))).has_title:
        return content
    return f"# {' '.join(title.split())}\n\n{content}" if content else f"# {' '.join(title.split())}\n"


def _check_expected(expected: str) -> None:
    if not expected:
        raise ValidationError(
            "expected_head is required: the head of the document that you have read, so that nothing that others wrote "
            "is lost",
            field="expected_head",
        )


def _trashed(head: Head) -> DocumentTrashed:
    return DocumentTrashed(f"{head.path!r} is in the trash: restore it first", documentId=head.document_id)


def _said(change: Change, counts: diff.Counts, before: str, after: str) -> str:
    if before != after:
        return f"renamed from {before}"
    return f"{change.value.lower()}: +{counts.added} -{counts.removed} lines"


def _fingerprint(*parts: object) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _edit_fingerprint(edit: Edit) -> bytes:
    return _fingerprint(edit.document_id, edit.branch, edit.expected, edit.content, edit.path)
