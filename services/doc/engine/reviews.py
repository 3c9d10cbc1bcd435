"""Reviews."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.doc.v1 import review_service_pb2, review_service_pb2_grpc
from automesh.mesh.server import Bound
from services.doc.domain.branches.branches import Branches
from services.doc.domain.reviews.merging import BranchMerger
from services.doc.domain.reviews.reviews import Reviews
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.service.review_service import ReviewServicer
from services.doc.store.reviews import SqlReviewStore


@asynccontextmanager
async def open_reviews(core: Core) -> AsyncGenerator[Part]:
    """See Part."""
    differences = Branches(core.branches, core.documents, core.directory)
    reviews = Reviews(
        reviews=SqlReviewStore(core.outside.database, core.outside.sealer, core.documents.writes),
        branches=core.branches,
        differences=differences,
        merger=BranchMerger(
            core.documents, differences, make_id=core.options.make_id, max_bytes=core.options.max_page_bytes
        ),
        directory=core.directory,
        comments=core.comments,
        doorbell=core.doorbell,
        clock=core.options.clock,
        make_id=core.options.make_id,
    )
    yield Part(
        bounds=[
            Bound(
                review_service_pb2.DESCRIPTOR.services_by_name["ReviewService"],
                review_service_pb2_grpc.add_ReviewServiceServicer_to_server,
                ReviewServicer(reviews, core.directory),
            )
        ]
    )
