"""ReviewService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.doc.v1 import review_service_pb2 as pb
from automesh.doc.v1 import review_service_pb2_grpc as rpc
from services.doc.convert import reviews as convert
from services.doc.domain.reviews.reviews import Reviews
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class ReviewServicer(rpc.ReviewServiceServicer):
    """Reviews, proposed, judged, merged or closed."""

    def __init__(self, reviews: Reviews, directory: SpaceDirectory) -> None:
        self._reviews, self._directory = reviews, directory

    async def CreateReview(self, request: pb.CreateReviewRequest, context: Context) -> pb.CreateReviewResponse:
        made = await self._reviews.create(current_person(), convert.new_review(request))
        return pb.CreateReviewResponse(review=convert.review(made))

    async def GetReview(self, request: pb.GetReviewRequest, context: Context) -> pb.GetReviewResponse:
        return convert.shown(*await self._reviews.changes(current_person(), request.review_id))

    async def ListReviews(self, request: pb.ListReviewsRequest, context: Context) -> pb.ListReviewsResponse:
        person = current_person()
        spaces = await self._directory.visible(person, request.space)
        return convert.page(await self._reviews.list(person, convert.query(request, spaces)), request)

    async def JudgeReview(self, request: pb.JudgeReviewRequest, context: Context) -> pb.JudgeReviewResponse:
        judged = await self._reviews.judge(
            current_person(), request.review_id, convert.verdict(request.verdict), request.message
        )
        return pb.JudgeReviewResponse(review=convert.review(judged))

    async def MergeReview(self, request: pb.MergeReviewRequest, context: Context) -> pb.MergeReviewResponse:
        merged = await self._reviews.merge(
            current_person(), request.review_id, request.message, delete_branch=request.delete_branch
        )
        return convert.merged(*merged)

    async def CloseReview(self, request: pb.CloseReviewRequest, context: Context) -> pb.CloseReviewResponse:
        closed = await self._reviews.close(current_person(), request.review_id, request.message)
        return pb.CloseReviewResponse(review=convert.review(closed))
