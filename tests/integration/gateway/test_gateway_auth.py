"""API keys over real HTTP, with a real gRPC server in the place of auth."""

from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest

from automesh.auth.v1 import token_service_pb2 as pb
from automesh.core.errors import Unauthenticated
from automesh.mesh.errors import abort


class Tokens:
    """Knows one key."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def exchange(self, request: Any, context: Any) -> Any:
        self.asked.append(request.api_key)
        if request.api_key != "am_good":
            await abort(context, Unauthenticated("this API key is not valid"))
        response = pb.ExchangeApiKeyResponse(tokens=pb.TokenPair(access_token="jwt"))
        response.tokens.expires_in.seconds = 300
        return response


@pytest.fixture
async def tokens(front: Any) -> AsyncGenerator[Tokens]:
    fake, server = Tokens(), grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        fake.exchange,
        request_deserializer=pb.ExchangeApiKeyRequest.FromString,
        response_serializer=pb.ExchangeApiKeyResponse.SerializeToString,
    )
    service = pb.DESCRIPTOR.services_by_name["TokenService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"ExchangeApiKey": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    front.channels["auth"] = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    yield fake
    await server.stop(None)


async def test_a_service_sees_the_token_never_the_key(front: Any, tokens: Tokens) -> None:
    for _ in range(3):
        response = await front.get("/v1/metadata", headers={"authorization": "Bearer am_good"})
        assert response.json()["metadata"]["authorization"] == "Bearer jwt"
    assert tokens.asked == ["am_good"]


async def test_a_bad_key_is_a_401_and_no_service_is_asked(front: Any, tokens: Tokens) -> None:
    response = await front.get("/v1/things/x", headers={"authorization": "Bearer am_bad"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="automesh"'
    assert response.json()["message"] == "this API key is not valid"
    assert front.echo.requests == []


async def test_a_stream_takes_a_key_as_well(front: Any, tokens: Tokens) -> None:
    assert (await front.get("/v1/count/1", headers={"authorization": "Bearer am_good"})).status_code == 200
    assert (await front.get("/v1/count/1", headers={"authorization": "Bearer am_bad"})).status_code == 401


async def test_without_auth_a_key_is_a_503(front: Any) -> None:
    response = await front.get("/v1/things/x", headers={"authorization": "Bearer am_good"})
    assert response.status_code == 503
    assert "127.0.0.1" not in response.text
