"""What tests of reviews and branches do often."""

from __future__ import annotations

from typing import Any

from automesh.doc.v1 import branch_service_pb2 as branch_pb
from automesh.doc.v1 import document_pb2, space_pb2
from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import review_service_pb2 as pb
from automesh.doc.v1 import review_service_pb2_grpc as rpc
from automesh.doc.v1 import space_service_pb2 as space_pb
from tests.integration.doc.doc_house import PERMISSIONS, Served

APPROVED, CHANGES = pb.VERDICT_APPROVED, pb.VERDICT_CHANGES_REQUESTED


async def reviews(served: Served, user: str = "ann", *permissions: str, tenant_id: str = "default") -> Any:
    """A stub of somebody."""
    return rpc.ReviewServiceStub(await served.channel(user, *(permissions or PERMISSIONS), tenant_id=tenant_id))


async def begin(served: Served, branch: str = "next", *, base: str = "", space: str = "handbook") -> None:
    """A branch."""
    request = branch_pb.CreateBranchRequest(space=space, branch=branch, base=base)
    await (await served.branches()).CreateBranch(request)


async def on(
    served: Served,
    document: document_pb2.Document,
    content: str,
    branch: str = "next",
    *,
    user: str = "ann",
    **fields: Any,
) -> document_pb2.Document:
    """The document of a branch with a new text."""
    there = await served.read(document.document_id, branch=branch, user=user)
    return await served.edit(there, content, user=user, **fields)


async def rename(
    served: Served, document: document_pb2.Document, path: str, branch: str = "main", **fields: Any
) -> document_pb2.Document:
    there = await served.read(document.document_id, branch=branch)
    request = doc_pb.UpdateDocumentRequest(
        document_id=there.document_id, branch=branch, expected_head=there.head, path=path, **fields
    )
    return (await (await served.documents()).UpdateDocument(request)).document


async def delete(served: Served, document: document_pb2.Document, branch: str = "main") -> document_pb2.Document:
    there = await served.read(document.document_id, branch=branch)
    request = doc_pb.DeleteDocumentRequest(document_id=there.document_id, branch=branch, expected_head=there.head)
    return (await (await served.documents()).DeleteDocument(request)).document


async def propose(served: Served, branch: str = "next", *, user: str = "ann", **fields: Any) -> pb.Review:
    """An open review of a branch of "handbook"."""
    fields.setdefault("title", "Better words")
    request = pb.CreateReviewRequest(space=fields.pop("space", "handbook"), branch=branch, **fields)
    return (await (await reviews(served, user)).CreateReview(request)).review


async def judge(
    served: Served,
    review: pb.Review,
    user: str = "bob",
    verdict: pb.Verdict.ValueType = APPROVED,
    message: str = "as it stands",
) -> pb.Review:
    request = pb.JudgeReviewRequest(review_id=review.review_id, verdict=verdict, message=message)
    return (await (await reviews(served, user)).JudgeReview(request)).review


async def merge(served: Served, review: pb.Review, user: str = "ann", **fields: Any) -> pb.MergeReviewResponse:
    request = pb.MergeReviewRequest(review_id=review.review_id, **fields)
    return await (await reviews(served, user)).MergeReview(request)


async def shown(served: Served, review: pb.Review, user: str = "ann") -> pb.GetReviewResponse:
    return await (await reviews(served, user)).GetReview(pb.GetReviewRequest(review_id=review.review_id))


async def require_approvals(served: Served, count: int, space: str = "handbook") -> None:
    """From now on the main branch of the space changes by reviews only."""
    stub = await served.spaces()
    found = (await stub.GetSpace(space_pb.GetSpaceRequest(space=space))).space
    found.rules.CopyFrom(space_pb2.SpaceRules(required_approvals=count))
    await stub.UpdateSpace(space_pb.UpdateSpaceRequest(space=found))
