"""What can go wrong with spaces, documents, branches and what hangs on them.

DocError > SpaceNotEmpty, BranchInUse, BranchProtected, DocumentTrashed, RequestReused
`-- Stale > SpaceChanged, StaleHead
NotFound > SpaceNotFound, BranchNotFound, DocumentNotFound, RevisionNotFound
AlreadyExists > SpaceTaken, BranchTaken, PathTaken
ValidationError > PageTooLarge, FindingsRefused

Those of one kind of thing alone are beside it: domain/reviews/errors.py, domain/templates/errors.py and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core.errors import AlreadyExists, AutomationError, FieldViolation, Kind, NotFound, ValidationError
from services.doc.domain.documents.document import Head


class DocError(AutomationError):
    """Something about documents."""

    kind = Kind.PRECONDITION
    reason = "DOC"


class SpaceNotEmpty(DocError):
    """The space still has documents."""

    reason = "SPACE_NOT_EMPTY"


class BranchInUse(DocError):
    """A review is open for the branch, or it is the main one."""

    reason = "BRANCH_IN_USE"


class BranchProtected(DocError):
    """The space asks for approvals: its main branch changes by merging reviews only."""

    reason = "BRANCH_PROTECTED"


class DocumentTrashed(DocError):
    """The document is in the trash: restore it first."""

    reason = "DOCUMENT_TRASHED"


class Stale(DocError):
    """It has changed since it was read: read it again, then decide."""

    kind = Kind.ABORTED
    reason = "STALE"


class SpaceChanged(Stale):
    """The space is not what its etag says any more."""

    reason = "SPACE_CHANGED"


class StaleHead(Stale):
    """A write expected another head: somebody has written meanwhile, and nothing of this write was kept."""

    reason = "STALE_WRITE"

    def __init__(self, head: Head, expected: str) -> None:
        super().__init__(
            f"{head.updated_by} has changed {head.path!r} since you read it: take the merge, or decide where it says "
            f"so, and save with expected_head={head.revision_id}",
            documentId=head.document_id,
            head=head.revision_id,
            expectedHead=expected,
        )
        self.head, self.expected = head, expected


class RequestReused(DocError):
    """The request_id stands for another write, or another release, already."""

    kind = Kind.CONFLICT
    reason = "REQUEST_ID_REUSED"


class SpaceNotFound(NotFound):
    """No such space, or one that the caller may not see: the two look alike on purpose."""

    reason = "SPACE_NOT_FOUND"


class BranchNotFound(NotFound):
    """The space has no such branch."""

    reason = "BRANCH_NOT_FOUND"


class DocumentNotFound(NotFound):
    """No such document on that branch, or one of a space that the caller may not see."""

    reason = "DOCUMENT_NOT_FOUND"


class RevisionNotFound(NotFound):
    """The document has no such revision."""

    reason = "REVISION_NOT_FOUND"


class SpaceTaken(AlreadyExists):
    """A space has that name."""

    reason = "SPACE_TAKEN"


class BranchTaken(AlreadyExists):
    """The space has a branch of that name."""

    reason = "BRANCH_TAKEN"


class PathTaken(AlreadyExists):
    """A document of the branch has that path, or one that differs in case only."""

    reason = "PATH_TAKEN"


class PageTooLarge(ValidationError):
    """The text is larger than this installation allows."""

    reason = "PAGE_TOO_LARGE"


class FindingsRefused(ValidationError):
    """The space refuses texts that break some of its rules."""

    reason = "FINDINGS_REFUSED"


def findings_refused(findings: Sequence[tuple[str, int, str]]) -> FindingsRefused:
    """Of rule, line and message of each."""
    violations = [
        FieldViolation("content", f"line {line}: {message} ({rule})" if line else f"{message} ({rule})")
        for rule, line, message in findings
    ]
    more = f" and {len(violations) - 1} more" if len(violations) > 1 else ""
    return FindingsRefused(f"the space refuses this text: {violations[0].description}{more}", violations=violations)


def space_not_found(space: str) -> SpaceNotFound:
    """With what to do."""
    return SpaceNotFound(f"there is no space {space!r}, or you are no member of it", space=space)


def branch_not_found(space: str, branch: str) -> BranchNotFound:
    """With what to do."""
    return BranchNotFound(
        f"the space {space!r} has no branch {branch!r}: list its branches to find one", space=space, branch=branch
    )


def document_not_found(document_id: str, branch: str) -> DocumentNotFound:
    """With what to do."""
    return DocumentNotFound(
        f"there is no document {document_id!r} on the branch {branch!r}", documentId=document_id, branch=branch
    )


def revision_not_found(revision_id: str) -> RevisionNotFound:
    """With what to do."""
    return RevisionNotFound(
        f"the document has no revision {revision_id!r}: list its revisions to find one", revisionId=revision_id
    )


def path_taken(path: str, by: str) -> PathTaken:
    """With what to do."""
    return PathTaken(f"{path!r} cannot be used: {by!r} is there already; choose another path", path=path, takenBy=by)


def request_reused(request_id: str) -> RequestReused:
    """With what to do."""
    return RequestReused(
        f"request_id {request_id!r} stands for something else already: choose a new one", requestId=request_id
    )
