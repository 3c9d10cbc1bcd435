"""Headers to metadata and back, deadlines, request ids."""

import base64
from typing import Any

import pytest


async def seen(front: Any, **headers: str) -> dict[str, str]:
    response = await front.get("/v1/metadata", headers={key.replace("_", "-"): value for key, value in headers.items()})
    assert response.status_code == 200, response.text
    metadata: dict[str, str] = response.json()["metadata"]
    return metadata


async def test_authorization_goes_to_the_service_as_it_is(front: Any) -> None:
    assert (await seen(front, authorization="Bearer abc"))["authorization"] == "Bearer abc"
    assert "authorization" not in await seen(front)


async def test_a_request_id_is_passed_on_and_returned(front: Any) -> None:
    response = await front.get("/v1/metadata", headers={"X-Request-Id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    assert response.json()["metadata"]["x-request-id"] == "mine-1"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "ä"])
async def test_a_request_id_that_is_missing_or_odd_is_replaced(front: Any, given: str) -> None:
    headers = {"X-Request-Id": given.encode("latin-1")} if given else {}
    response = await front.get("/v1/metadata", headers=headers)
    made = response.headers["x-request-id"]
    assert made.startswith("req_")
    assert response.json()["metadata"]["x-request-id"] == made


async def test_the_trace_is_passed_on_and_begun_where_there_is_none(front: Any) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = await seen(front, traceparent=given, tracestate="a=b")
    assert (metadata["traceparent"], metadata["tracestate"]) == (given, "a=b")
    metadata = await seen(front, traceparent="junk", tracestate="a=b")
    assert metadata["traceparent"].startswith("00-")
    assert "tracestate" not in metadata


async def test_grpc_metadata_headers_reach_the_service(front: Any) -> None:
    metadata = await seen(front, grpc_metadata_x_color="red", Grpc_Metadata_Raw_Bin="AP8")
    assert metadata["x-color"] == "red"
    assert base64.b64decode(metadata["raw-bin"]) == b"\x00\xff"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grpc-metadata-grpc-timeout", "1S"),
        ("grpc-metadata-grpc-status-details-bin", "AA"),
        ("grpc-metadata-authorization", "Bearer x"),
        ("grpc-metadata-x-request-id", "x"),
        ("grpc-metadata-traceparent", "x"),
        ("grpc-metadata-x-forwarded-for", "1.2.3.4"),
        ("grpc-metadata-te", "trailers"),
        ("grpc-metadata-host", "x"),
        ("grpc-metadata-user-agent", "x"),
        ("grpc-metadata-x-automesh-tenant", "x"),
        ("grpc-metadata-", "x"),
        ("grpc-metadata-a!b", "x"),
        ("grpc-metadata-x", "ä"),
        ("grpc-metadata-x-bin", "%%%"),
        ("grpc-timeout", "5"),
        ("grpc-timeout", "123456789S"),
        ("x-request-timeout", "soon"),
        ("x-request-timeout", "-1"),
    ],
)
async def test_reserved_and_malformed_headers_are_a_400(front: Any, name: str, value: str) -> None:
    response = await front.get("/v1/metadata", headers={name: value.encode("latin-1")})
    assert response.status_code == 400
    assert response.json()["details"][0]["reason"] == "BAD_HEADER"


async def test_other_headers_stay_outside(front: Any) -> None:
    metadata = await seen(front, x_custom="1", cookie="a=b", x_forwarded_for="9.9.9.9", grpc_encoding="gzip")
    assert not {"x-custom", "cookie"} & metadata.keys()
    assert metadata["x-forwarded-for"] == "127.0.0.1"


async def test_a_trusted_proxy_names_the_client(start_front: Any) -> None:
    async with start_front(gateway_trust_forwarded=True) as front:
        assert (await seen(front, x_forwarded_for="9.9.9.9"))["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "most"),
    [
        ({}, 30.0),
        ({"grpc-timeout": "5S"}, 5.0),
        ({"grpc-timeout": "2500m"}, 2.5),
        ({"x-request-timeout": "1.5"}, 1.5),
        ({"x-request-timeout": "100000"}, 600.0),
        ({"grpc-timeout": "99999999H"}, 600.0),
    ],
)
async def test_the_deadline_is_the_clients_within_the_cap(front: Any, headers: dict[str, str], most: float) -> None:
    response = await front.get("/v1/metadata", headers=headers)
    assert most - 1 < response.json()["timeoutS"] <= most * 1.02 + 0.1  # gRPC rounds up what it sends


async def test_a_deadline_that_passes_is_a_504(front: Any) -> None:
    response = await front.get("/v1/hang", headers={"grpc-timeout": "50m"})
    assert response.status_code == 504
    assert response.json()["code"] == 4


async def test_initial_metadata_comes_back_as_headers_without_grpcs_own(front: Any) -> None:
    headers = (await front.get("/v1/things/x")).headers
    assert headers["grpc-metadata-x-seen"] == "yes"
    assert base64.b64decode(headers["grpc-metadata-seen-bin"]) == b"\x00\xff"
    assert not [name for name in headers if name.startswith(("grpc-metadata-grpc", "grpc-metadata-content"))]
