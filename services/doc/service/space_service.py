"""SpaceService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.core import paging
from automesh.doc.v1 import space_service_pb2 as pb
from automesh.doc.v1 import space_service_pb2_grpc as rpc
from services.doc.convert import spaces as convert
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class SpaceServicer(rpc.SpaceServiceServicer):
    """Spaces, made, changed, removed."""

    def __init__(self, directory: SpaceDirectory) -> None:
        self._directory = directory

    async def CreateSpace(self, request: pb.CreateSpaceRequest, context: Context) -> pb.CreateSpaceResponse:
        made = await self._directory.create(current_person(), convert.new_space(request.space))
        return pb.CreateSpaceResponse(space=convert.space(made))

    async def GetSpace(self, request: pb.GetSpaceRequest, context: Context) -> pb.GetSpaceResponse:
        return pb.GetSpaceResponse(space=convert.space(await self._directory.counted(current_person(), request.space)))

    async def ListSpaces(self, request: pb.ListSpacesRequest, context: Context) -> pb.ListSpacesResponse:
        size = paging.page_size(request.page_size)
        after = paging.decode_token(request.page_token) or ""
        return convert.spaces_page(await self._directory.list(current_person(), limit=size, after=after), size)

    async def UpdateSpace(self, request: pb.UpdateSpaceRequest, context: Context) -> pb.UpdateSpaceResponse:
        person, wanted = current_person(), convert.new_space(request.space)
        replaced = await self._directory.replace(person, wanted, request.space.etag)
        return pb.UpdateSpaceResponse(space=convert.space(replaced))

    async def DeleteSpace(self, request: pb.DeleteSpaceRequest, context: Context) -> pb.DeleteSpaceResponse:
        await self._directory.delete(current_person(), request.space, force=request.force, reason=request.reason)
        return pb.DeleteSpaceResponse()
