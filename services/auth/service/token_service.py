"""TokenService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.auth.v1 import token_service_pb2 as pb
from automesh.auth.v1 import token_service_pb2_grpc as rpc
from automesh.mesh.caller import current_caller
from automesh.mesh.tokens import JwksSource
from services.auth.convert import jwk_to_proto, tokens_to_proto
from services.auth.domain.sessions import Sessions
from services.auth.service.caller import origin

Context = grpc.aio.ServicerContext[Any, Any]


class TokenServicer(rpc.TokenServiceServicer):
    """Signing in and out."""

    def __init__(self, sessions: Sessions, keys: JwksSource) -> None:
        self._sessions, self._keys = sessions, keys

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        tokens = await self._sessions.login(request.username, request.password, origin(context))
        return pb.LoginResponse(tokens=tokens_to_proto(tokens))

    async def RefreshToken(self, request: pb.RefreshTokenRequest, context: Context) -> pb.RefreshTokenResponse:
        tokens = await self._sessions.refresh(request.refresh_token, origin(context))
        return pb.RefreshTokenResponse(tokens=tokens_to_proto(tokens))

    async def ExchangeApiKey(self, request: pb.ExchangeApiKeyRequest, context: Context) -> pb.ExchangeApiKeyResponse:
        tokens = await self._sessions.exchange(request.api_key, origin(context))
        return pb.ExchangeApiKeyResponse(tokens=tokens_to_proto(tokens))

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        await self._sessions.logout(request.refresh_token, origin(context))
        return pb.LogoutResponse()

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:
        caller = current_caller()
        return pb.WhoAmIResponse(
            subject=caller.subject,
            name=caller.name,
            tenant_id=caller.tenant_id,
            roles=sorted(caller.roles),
            permissions=sorted(caller.permissions),
        )

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> pb.GetJwksResponse:
        return pb.GetJwksResponse(keys=map(jwk_to_proto, await self._keys()))
