"""UserService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.auth.v1 import user_service_pb2 as pb
from automesh.auth.v1 import user_service_pb2_grpc as rpc
from automesh.core import paging
from services.auth.convert import changes_from_proto, id_from_token, new_user_from_proto, user_to_proto
from services.auth.domain.actor import PERSON_PREFIX
from services.auth.domain.directory import UserDirectory
from services.auth.service.caller import actor, origin

Context = grpc.aio.ServicerContext[Any, Any]


class UserServicer(rpc.UserServiceServicer):
    """The users of a tenant."""

    def __init__(self, directory: UserDirectory) -> None:
        self._directory = directory

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:
        who = actor()
        spec = new_user_from_proto(request.user, own_tenant=who.tenant_id)
        user = await self._directory.create(who, spec, request.password, request_id=request.request_id)
        return pb.CreateUserResponse(user=user_to_proto(user))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        return pb.GetUserResponse(user=user_to_proto(await self._directory.get(actor(), request.user_id)))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        limit = paging.page_size(request.page_size)
        before = id_from_token(paging.decode_token(request.page_token), PERSON_PREFIX)
        users = await self._directory.list_newest(actor(), limit=limit + 1, before=before)
        more = len(users) > limit
        return pb.ListUsersResponse(
            users=[user_to_proto(user) for user in users[:limit]],
            next_page_token=paging.encode_token(users[limit - 1].user_id) if more else "",
        )

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        roles, disabled = changes_from_proto(request.user, request.update_mask)
        user = await self._directory.update(actor(), request.user_id, roles=roles, disabled=disabled)
        return pb.UpdateUserResponse(user=user_to_proto(user))

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:
        await self._directory.delete(actor(), request.user_id)
        return pb.DeleteUserResponse()

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.ChangePasswordResponse:
        await self._directory.change_password(actor(), request.current_password, request.new_password, origin(context))
        return pb.ChangePasswordResponse()
