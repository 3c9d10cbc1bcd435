"""ETag, If-None-Match and If-Match over real HTTP: 304 without a body, and writes that say what they have read."""

from typing import Any

import pytest


async def test_an_answer_with_an_etag_says_so_in_a_header(front: Any) -> None:
    response = await front.get("/v1/pages/home")
    assert (response.status_code, response.headers["etag"]) == (200, 'W/"rev_1"')
    assert response.json() == {"name": "home", "text": "text", "etag": "rev_1"}
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["vary"] == "authorization"


@pytest.mark.parametrize("known", ['W/"rev_1"', '"rev_1"', '"x", W/"rev_1" , "y"', "*", '"rev_0","rev_1"'])
async def test_a_known_state_is_answered_with_304_and_nothing_else(front: Any, known: str) -> None:
    response = await front.get("/v1/pages/home", headers={"if-none-match": known})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == 'W/"rev_1"'
    assert "content-type" not in response.headers
    assert len(front.echo.requests) == 1, "the service decides whether the caller may read it"
    head = await front.client.head("/v1/pages/home", headers={"if-none-match": known})
    assert head.status_code == 304


@pytest.mark.parametrize("known", ['"rev_2"', "rev_1", 'W/"rev_1', '"rev_1" "rev_2"', "w/rev_1", '"*"', ""])
async def test_another_state_is_answered_whole(front: Any, known: str) -> None:
    response = await front.get("/v1/pages/home", headers={"if-none-match": known})
    assert (response.status_code, response.json()["text"]) == (200, "text")


@pytest.mark.parametrize("etag", ["", 'a"b', "a b", "ä", "x" * 201])
async def test_an_etag_that_is_empty_or_fits_no_header_makes_none(front: Any, etag: str) -> None:
    front.echo.etag = etag
    response = await front.get("/v1/pages/home", headers={"if-none-match": "*"})
    assert response.status_code == 200
    assert "etag" not in response.headers
    assert response.headers["cache-control"] == "no-store"


async def test_only_an_etag_at_the_top_of_what_is_shown_counts(front: Any) -> None:
    response = await front.get("/v1/wrapped-pages/home", headers={"if-none-match": "*"})
    assert response.status_code == 200
    assert "etag" not in response.headers


async def test_the_connection_serves_on_after_a_304(front: Any) -> None:
    for _ in range(3):
        assert (await front.get("/v1/pages/home", headers={"if-none-match": "*"})).status_code == 304
        assert (await front.get("/v1/pages/home")).status_code == 200


async def test_a_big_page_has_its_etag_as_well(front: Any) -> None:
    front.echo.text = "x" * 500_000
    response = await front.get("/v1/pages/home")
    assert response.headers["etag"] == 'W/"rev_1"'
    assert len(response.json()["text"]) == 500_000


@pytest.mark.parametrize("tag", ['"rev_7"', 'W/"rev_7"'])
async def test_if_match_says_what_a_write_has_read(front: Any, tag: str) -> None:
    headers = {"if-match": tag}
    put = await front.client.put("/v1/pages/home", json={"text": "new"}, headers=headers)
    assert put.json() == {"name": "home", "text": "new", "etag": "rev_7"}
    assert (await front.client.put("/v1/heads/home", json={}, headers=headers)).json()["etag"] == "rev_7"
    assert (await front.client.delete("/v1/pages/home", headers=headers)).json()["etag"] == "rev_7"
    assert "etag" not in put.headers


async def test_what_the_body_says_goes_before_if_match(front: Any) -> None:
    headers = {"if-match": '"rev_7"'}
    assert (await front.client.put("/v1/pages/home", json={"etag": "rev_6"}, headers=headers)).json()["etag"] == "rev_6"
    put = await front.client.put("/v1/heads/home", json={"expectedHead": "rev_6"}, headers=headers)
    assert put.json()["etag"] == "rev_6"


async def test_if_match_with_a_star_leaves_the_decision_to_the_service(front: Any) -> None:
    assert (await front.client.delete("/v1/pages/home", headers={"if-match": "*"})).json()["etag"] == ""


@pytest.mark.parametrize("tag", ["rev_7", '"a", "b"', '"a', ","])
async def test_an_if_match_that_names_no_single_state_is_a_400(front: Any, tag: str) -> None:
    response = await front.client.delete("/v1/pages/home", headers={"if-match": tag})
    assert response.status_code == 400
    assert response.json()["details"][0]["reason"] == "BAD_HEADER"
    assert front.echo.requests == []


async def test_if_match_means_nothing_to_methods_without_such_a_field(front: Any) -> None:
    assert (await front.client.delete("/v1/things/x", headers={"if-match": "rubbish"})).status_code == 200


async def test_the_openapi_document_tells_of_it(front: Any) -> None:
    paths = (await front.get("/api/v1/openapi.json")).json()["paths"]
    page = paths["/v1/pages/{name}"]
    assert "304" in page["get"]["responses"]
    assert "ETag" in page["get"]["responses"]["200"]["headers"]
    assert [each["name"] for each in page["get"]["parameters"] if each["in"] == "header"] == ["If-None-Match"]
    assert [each["name"] for each in page["delete"]["parameters"] if each["in"] == "header"] == ["If-Match"]
    assert "304" not in paths["/v1/wrapped-pages/{name}"]["get"]["responses"]
    assert "304" not in paths["/v1/things/{name}"]["get"]["responses"]
