"""Errors: every code with its HTTP status, details kept, and what the gateway refuses by itself."""

from typing import Any

import pytest

TABLE = {
    1: 499,
    2: 500,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    15: 500,
    16: 401,
}


@pytest.mark.parametrize(("code", "status"), TABLE.items())
async def test_every_code_has_its_http_status(front: Any, code: int, status: int) -> None:
    response = await front.get(f"/v1/fail/{code}?message=why")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"code": code, "message": "why", "details": []}
    assert ("www-authenticate" in response.headers) == (status == 401)


async def test_known_details_are_shown_in_full(front: Any) -> None:
    detail = (await front.get("/v1/fail/9?message=m&details=known")).json()["details"][0]
    assert detail == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "WHY",
        "domain": "acme",
        "metadata": {"a": "b"},
    }


async def test_a_large_detail_of_a_service_arrives_whole(front: Any) -> None:
    response = await front.get("/v1/fail/10?message=m&details=stale")
    assert response.status_code == 409
    detail = response.json()["details"][0]
    assert detail["@type"] == "type.googleapis.com/automesh.doc.v1.StaleWrite"
    assert (detail["expectedHead"], detail["head"], detail["author"]) == ("rev_1", "rev_2", "ann")
    assert detail["merge"]["content"].count("ÄÖÜ") == 760
    assert len(detail["merge"]["content"].encode()) > 40_000
    assert detail["merge"]["conflicts"] == [{"line": 3, "base": "a\n", "ours": "b\n", "theirs": "c\n"}]


async def test_details_of_an_unknown_type_keep_their_bytes(front: Any) -> None:
    response = await front.get("/v1/fail/5?message=m&details=foreign")
    assert response.status_code == 404
    assert response.json()["details"] == [{"@type": "type.googleapis.com/no.Such", "value": "Af8="}]


async def test_retry_info_becomes_retry_after_rounded_up(front: Any) -> None:
    response = await front.get("/v1/fail/8?message=m&details=retry")
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert response.json()["details"][0]["retryDelay"] == "2.000000001s"


async def test_an_unreachable_service_is_a_503_without_addresses(front: Any) -> None:
    response = await front.get("/api/v1/health")
    assert response.status_code == 503
    assert response.json()["code"] == 14
    assert "control" in response.json()["message"]
    assert "127.0.0.1" not in response.text


async def test_an_unknown_path_is_a_404(front: Any) -> None:
    for path in ("/nosuch", "/v1/things/x/", "//v1/things/x", "/v1//things", "/acme.echo.v1.EchoService/Hidden"):
        response = await front.get(path)
        assert response.status_code == 404, path
        assert response.json()["code"] == 5
        assert response.json()["details"][0]["reason"] == "ROUTE_NOT_FOUND"


async def test_a_wrong_method_is_a_405_that_says_what_is_allowed(front: Any) -> None:
    response = await front.post("/v1/things/x", json={})
    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
    assert response.json()["code"] == 12
    response = await front.client.options("/v1/things/x")
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


async def test_a_custom_method_is_served(front: Any) -> None:
    response = await front.client.request("REPORT", "/v1/reports/x")
    assert response.json()["name"] == "x"


async def test_head_is_get_without_the_body(front: Any) -> None:
    get, head = await front.get("/v1/things/x"), await front.client.head("/v1/things/x")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(get.content))


async def test_a_malformed_path_is_a_400(front: Any) -> None:
    for path in (b"/v1/things/%zz", b"/v1/things/%FF", b"/v1/things/a%"):
        answer = await front.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400"), path
        assert b'"BAD_PATH"' in answer


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "expected an object"),
        (b"null", "expected an object"),
        (b'{"name": 1}', "name: expected a string"),
        (b'{"nosuch": 1}', "nosuch: acme.echo.v1.Everything has no such field"),
        (b'{"name": "a", "name": "b"}', "name: the key is given twice"),
        (b'{"name": "\xff"}', "not UTF-8"),
        (b"{} x", "Extra data"),
        (b'{"doubleValue": NaN}', "NaN"),
        (b"[" * 200, "nested"),
    ],
)
async def test_a_bad_body_is_a_400_before_any_service_is_asked(front: Any, body: bytes, says: str) -> None:
    response = await front.post("/v1/things", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert says in response.json()["message"]
    assert response.json()["details"][0]["reason"] == "VALIDATION"
    assert front.echo.requests == []


@pytest.mark.parametrize(
    "content_type", ["application/xml", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_a_foreign_content_type_is_a_415(front: Any, content_type: str) -> None:
    response = await front.post("/v1/things", content=b"{}", headers={"content-type": content_type})
    assert response.status_code == 415
    assert "application/json" in response.json()["message"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON", ""]
)
async def test_json_is_taken_with_any_spelling_of_its_type_and_with_none(front: Any, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert (await front.post("/v1/things", content=b"{}", headers=headers)).status_code == 200


async def test_a_compressed_body_is_a_415(front: Any) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await front.post("/v1/things", content=b"{}", headers=headers)).status_code == 415


async def test_a_body_over_the_limit_is_a_413_on_both_kinds_of_http(start_front: Any) -> None:
    async with start_front(gateway_max_body=2000) as front:
        fits = b'{"name": "' + b"x" * 1900 + b'"}'
        assert (await front.post("/v1/things", content=fits)).status_code == 200
        for size in (2100, 6000, 30_000):
            response = await front.post("/v1/things", content=b'{"name": "' + b"x" * size + b'"}')
            assert response.status_code == 413
            assert response.json()["details"][0]["metadata"] == {"limit": "2000"}


async def test_a_body_over_the_limit_without_a_length_is_a_413(start_front: Any) -> None:
    async def chunks() -> Any:
        for _ in range(50):
            yield b"x" * 100

    async with start_front(gateway_max_body=2000) as front:
        response = await front.post("/v1/things", content=chunks(), headers={"content-type": "application/json"})
        assert response.status_code == 413


async def test_a_client_that_asks_first_is_told_before_it_sends(start_front: Any) -> None:
    async with start_front(gateway_max_body=2000) as front:
        answer = await front.raw(
            b"POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 413")


async def test_a_body_that_never_ends_is_a_408(start_front: Any) -> None:
    async with start_front(gateway_body_timeout_s=0.1) as front:
        answer = await front.raw(b"POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"BODY_TOO_SLOW" in answer


async def test_a_body_of_five_megabytes_reaches_the_service(front: Any) -> None:
    # The echo server takes 4 MiB, as gRPC does by default; its refusal shows that the gateway let the body through.
    response = await front.post("/v1/things", json={"name": "x" * 5_000_000})
    assert response.status_code == 429
    assert "Received message larger than max" in response.json()["message"]


async def test_headers_over_the_limit_are_a_431(start_front: Any) -> None:
    async with start_front(gateway_max_headers=4096) as front:
        response = await front.get("/v1/things/x", headers={"x-big": "x" * 5000})
        assert response.status_code == 431
        assert response.json()["details"][0]["reason"] == "HEADERS_TOO_LARGE"


async def test_every_answer_forbids_caching_and_guessing(front: Any) -> None:
    for path in ("/v1/things/x", "/nosuch", "/v1/fail/5"):
        headers = (await front.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-request-id"]


async def test_a_page_of_50_megabytes_is_refused_with_the_limit(front: Any) -> None:
    response = await front.post("/v1/things", content=b'{"name": "' + b"x" * 50_000_000 + b'"}')
    assert response.status_code == 413
    assert response.json()["message"] == f"the request body is over the limit of {8 * 1024 * 1024} bytes"
    assert (await front.get("/v1/things/x")).status_code == 200
