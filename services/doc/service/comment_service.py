"""CommentService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.doc.v1 import comment_service_pb2 as pb
from automesh.doc.v1 import comment_service_pb2_grpc as rpc
from services.doc.convert import comments as convert
from services.doc.domain.comments.discussion import Discussion
from services.doc.domain.spaces.space import MAIN
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class CommentServicer(rpc.CommentServiceServicer):
    """Comments on documents and reviews."""

    def __init__(self, discussion: Discussion) -> None:
        self._discussion = discussion

    async def CreateComment(self, request: pb.CreateCommentRequest, context: Context) -> pb.CreateCommentResponse:
        made = await self._discussion.create(current_person(), convert.new_comment(request))
        return pb.CreateCommentResponse(comment=convert.comment(made))

    async def ListComments(self, request: pb.ListCommentsRequest, context: Context) -> pb.ListCommentsResponse:
        found = await self._discussion.list(
            current_person(),
            document_id=request.document_id,
            review_id=request.review_id,
            branch=request.branch or MAIN,
            resolved=request.include_resolved,
        )
        return convert.page(found, request)

    async def UpdateComment(self, request: pb.UpdateCommentRequest, context: Context) -> pb.UpdateCommentResponse:
        changed = await self._discussion.update(current_person(), request.comment_id, request.text)
        return pb.UpdateCommentResponse(comment=convert.comment(changed))

    async def ResolveComment(self, request: pb.ResolveCommentRequest, context: Context) -> pb.ResolveCommentResponse:
        done = await self._discussion.resolve(current_person(), request.comment_id, reopen=request.reopen)
        return pb.ResolveCommentResponse(comment=convert.comment(done))

    async def DeleteComment(self, request: pb.DeleteCommentRequest, context: Context) -> pb.DeleteCommentResponse:
        await self._discussion.delete(current_person(), request.comment_id)
        return pb.DeleteCommentResponse()
