"""ApiKeyService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.auth.v1 import api_key_service_pb2 as pb
from automesh.auth.v1 import api_key_service_pb2_grpc as rpc
from automesh.core import paging
from services.auth.convert import id_from_token, key_to_proto, new_key_from_proto
from services.auth.domain.actor import KEY_PREFIX
from services.auth.domain.api_keys import ApiKeys
from services.auth.service.caller import actor

Context = grpc.aio.ServicerContext[Any, Any]


class ApiKeyServicer(rpc.ApiKeyServiceServicer):
    """The caller's own keys."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.CreateApiKeyResponse:
        key, secret = await self._keys.create(actor(), new_key_from_proto(request.api_key))
        return pb.CreateApiKeyResponse(api_key=key_to_proto(key), secret=secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        limit = paging.page_size(request.page_size)
        before = id_from_token(paging.decode_token(request.page_token), KEY_PREFIX)
        keys = await self._keys.list_newest(actor(), limit=limit + 1, before=before)
        more = len(keys) > limit
        return pb.ListApiKeysResponse(
            api_keys=[key_to_proto(key) for key in keys[:limit]],
            next_page_token=paging.encode_token(keys[limit - 1].key_id) if more else "",
        )

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> pb.RevokeApiKeyResponse:
        await self._keys.revoke(actor(), request.key_id)
        return pb.RevokeApiKeyResponse()
