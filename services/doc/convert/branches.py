"""Messages of BranchService and the domain."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core import paging
from automesh.doc.v1 import branch_service_pb2 as pb
from automesh.mesh import times
from services.doc.convert.cursors import before_token
from services.doc.convert.documents import CHANGE
from services.doc.domain.branches.branch import Branch, Difference


def branch(found: Branch) -> pb.Branch:
    """The message of a branch."""
    return pb.Branch(
        branch=found.branch,
        base=found.base,
        create_time=times.timestamp(found.created_at),
        update_time=times.timestamp(found.updated_at),
        created_by=found.created_by,
        document_count=found.document_count,
    )


def branches_page(found: Sequence[Branch], request: pb.ListBranchesRequest) -> pb.ListBranchesResponse:
    """A page, the latest change first."""
    full = len(found) == paging.page_size(request.page_size)
    token = before_token(found[-1].updated_at, found[-1].branch, filters=request.space) if full else ""
    return pb.ListBranchesResponse(branches=[branch(each) for each in found], next_page_token=token)


def difference(found: Difference) -> pb.Difference:
    """The message of a difference."""
    return pb.Difference(
        document_id=found.sides.document_id,
        path=found.sides.path,
        head=found.sides.head,
        base_head=found.sides.base_head,
        ancestor=found.ancestor,
        change=CHANGE[found.change],
        both_changed=found.both_changed,
    )


def differences_page(found: Sequence[Difference], request: pb.CompareBranchesRequest) -> pb.CompareBranchesResponse:
    """A page by document."""
    full = len(found) == paging.page_size(request.page_size)
    token = paging.encode_token(found[-1].sides.document_id, filters=compared(request)) if full else ""
    return pb.CompareBranchesResponse(differences=[difference(each) for each in found], next_page_token=token)


def compared(request: pb.CompareBranchesRequest) -> object:
    """What a page token holds for."""
    return [request.space, request.branch, request.base]
