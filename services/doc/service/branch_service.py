"""BranchService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.core import paging
from automesh.doc.v1 import branch_service_pb2 as pb
from automesh.doc.v1 import branch_service_pb2_grpc as rpc
from services.doc.convert import branches as convert
from services.doc.convert.cursors import before
from services.doc.domain.branches.branches import Branches
from services.doc.domain.spaces.space import MAIN
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class BranchServicer(rpc.BranchServiceServicer):
    """Branches, made, compared, removed."""

    def __init__(self, branches: Branches) -> None:
        self._branches = branches

    async def CreateBranch(self, request: pb.CreateBranchRequest, context: Context) -> pb.CreateBranchResponse:
        made = await self._branches.create(current_person(), request.space, request.branch, request.base or MAIN)
        return pb.CreateBranchResponse(branch=convert.branch(made))

    async def ListBranches(self, request: pb.ListBranchesRequest, context: Context) -> pb.ListBranchesResponse:
        found = await self._branches.list(
            current_person(),
            request.space,
            limit=paging.page_size(request.page_size),
            before=before(request.page_token, filters=request.space),
        )
        return convert.branches_page(found, request)

    async def CompareBranches(self, request: pb.CompareBranchesRequest, context: Context) -> pb.CompareBranchesResponse:
        found = await self._branches.compare(
            current_person(),
            request.space,
            request.branch,
            request.base or MAIN,
            limit=paging.page_size(request.page_size),
            after=paging.decode_token(request.page_token, filters=convert.compared(request)) or "",
        )
        return convert.differences_page(found, request)

    async def DeleteBranch(self, request: pb.DeleteBranchRequest, context: Context) -> pb.DeleteBranchResponse:
        await self._branches.delete(current_person(), request.space, request.branch)
        return pb.DeleteBranchResponse()
