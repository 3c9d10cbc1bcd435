"""Every binding rule of google.api.http, over real HTTP and real gRPC."""

import json
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("/v1/things/x", {"name": "x"}),
        ("/v1/alias/x", {"name": "x"}),
        ("/v1/things/a%2Fb%20%C3%A4", {"name": "a/b ä"}),
        ("/v1/things/a%252Fb", {"name": "a%2Fb"}),
        ("/v1/things/a+b", {"name": "a+b"}),
        ("/v1/int/-5", {"int32Value": -5}),
        ("/v1/big/18446744073709551615", {"uint64Value": "18446744073709551615"}),
        ("/v1/color/COLOR_RED", {"color": "COLOR_RED"}),
        ("/v1/color/2", {"color": "COLOR_BLUE"}),
        ("/v1/bool/true", {"boolValue": True}),
        ("/v1/bytes/_-8", {"bytesValue": "/+8="}),
        ("/v1/wrapped/0", {"wrappedInt32": 0}),
        ("/v1/nested/a/b", {"inner": {"label": "a", "count": 0, "deeper": {"label": "b", "count": 0}}}),
        ("/v1/shelves/a%2Fb/books/c", {"name": "shelves/a%2Fb/books/c"}),
        ("/v1/files/a/b/c.txt", {"name": "a/b/c.txt"}),
        ("/v1/files", {"name": ""}),
        ("/v1/tail/a/b/end", {"name": "a/b"}),
    ],
)
async def test_the_path_reaches_the_service(front: Any, path: str, want: dict[str, Any]) -> None:
    response = await front.get(path)
    assert response.status_code == 200, response.text
    shown = response.json()
    assert {key: shown[key] for key in want} == want


@pytest.mark.parametrize(
    ("query", "want"),
    [
        ("int32_value=7&int64Value=8", {"int32Value": 7, "int64Value": "8"}),
        ("texts=a&texts=b&texts=", {"texts": ["a", "b", ""]}),
        ("numbers=1&numbers=2", {"numbers": ["1", "2"]}),
        ("colors=COLOR_RED&colors=2", {"colors": ["COLOR_RED", "COLOR_BLUE"]}),
        (
            "inner.label=a+b&inner.deeper.count=3",
            {"inner": {"label": "a b", "count": 0, "deeper": {"label": "", "count": 3}}},
        ),
        ("labels[a]=1&labels[b%5D]=2", {"labels": {"a": "1", "b]": "2"}}),
        ("byBool[true]=0.5", {"byBool": {"true": 0.5}}),
        ("time=2026-01-31T12:00:00.5%2B01:00", {"time": "2026-01-31T11:00:00.500Z"}),
        (
            "times=2026-01-01T00:00:00Z&times=2026-01-02T00:00:00Z",
            {"times": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]},
        ),
        ("duration=3.5s", {"duration": "3.500s"}),
        ("mask=a_b,cD", {"mask": "aB,cD"}),
        ("wrapped_int32=5&wrappedString=", {"wrappedInt32": 5, "wrappedString": ""}),
        ("wrapped_bool.value=true", {"wrappedBool": True}),
        ("wrapped_bytes=_-8", {"wrappedBytes": "/+8="}),
        ("struct=%7B%22a%22%3A1%7D&value=[1]&list=[null]", {"struct": {"a": 1}, "value": [1], "list": [None]}),
        ("float_value=NaN&double_value=-Infinity", {"floatValue": "NaN", "doubleValue": "-Infinity"}),
        ("double_value=1e3", {"doubleValue": 1000}),
        ("bytes_value=/%2B8=", {"bytesValue": "/+8="}),
        ("optional_number=0", {"optionalNumber": 0}),
        ("choice_text=x", {"choiceText": "x"}),
        ("otherName=x", {"otherName": "x"}),
        ("name=ignored", {"name": "x"}),
        ("again.again.name=deep", {"name": "x"}),
        ("texts=a%26b%3Dc", {"texts": ["a&b=c"]}),
        ("&&texts=a&", {"texts": ["a"]}),
        ("renamed=;", {"otherName": ";"}),
    ],
)
async def test_the_query_reaches_the_service(front: Any, query: str, want: dict[str, Any]) -> None:
    response = await front.get(f"/v1/things/x?{query}")
    assert response.status_code == 200, response.text
    shown = response.json()
    assert {key: shown[key] for key in want} == want


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("nosuch=1", "nosuch", "no field"),
        ("inner.nosuch=1", "inner.nosuch", "no field"),
        ("inner=x", "inner", "name one of its fields"),
        ("inners=x", "inners", "name one of its fields"),
        ("inners.label=x", "inners.label", "no single message"),
        ("name.x=1", "name.x", "no single message"),
        ("labels=x", "labels", "name the key"),
        ("texts[0]=x", "texts[0]", "no map"),
        ("byNumber[1]=x", "byNumber[1]", "map of messages"),
        ("byBool[x]=1", "byBool[x]", "true or false"),
        ("labels[a]=1&labels[a]=2", "labels[a]", "twice"),
        ("int32_value=1&int32Value=2", "int32Value", "twice"),
        ("choice_text=a&choice_number=1", "choice_number", "oneof choice"),
        ("int32_value=1_000", "int32_value", "whole number"),
        ("int32_value=+1", "int32_value", "whole number"),
        ("int32_value=%D9%A1", "int32_value", "whole number"),
        ("int32_value=2147483648", "int32_value", "out of range"),
        ("int32_value=", "int32_value", "whole number"),
        ("bool_value=1", "bool_value", "true or false"),
        ("bool_value=TRUE", "bool_value", "true or false"),
        ("color=red", "color", "COLOR_RED"),
        ("color=9", "color", "COLOR_RED"),
        ("time=yesterday", "time", "expected a time"),
        ("duration=3m", "duration", "expected seconds"),
        ("mask=a..b", "mask", "field path"),
        ("struct=x", "struct", "not valid JSON"),
        ("any=x", "any", "name one of its fields"),
        ("texts=%zz", "", "%25"),
        ("texts=%FF", "", "not UTF-8"),
        ("&".join(["texts=a"] * 1001), "", "more than 1000"),
        (".".join(["again"] * 40) + ".name=x", None, "more than 32 parts"),
    ],
)
async def test_a_bad_query_is_a_400_that_names_the_parameter(
    front: Any, query: str, field: str | None, says: str
) -> None:
    response = await front.get(f"/v1/things/x?{query}")
    assert response.status_code == 400
    body = response.json()
    assert body["code"] == 3
    assert says in body["message"]
    violations = [each for each in body["details"] if each["@type"].endswith("BadRequest")]
    if field:
        assert violations[0]["fieldViolations"][0]["field"] == field
    assert front.echo.requests == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/int/x", "int32_value: expected a whole number"),
        ("/v1/int/99999999999", "out of range"),
        ("/v1/color/RED", "COLOR_RED"),
        ("/v1/bytes/a", "base64"),
        ("/v1/bool/yes", "true or false"),
    ],
)
async def test_a_bad_capture_is_a_400(front: Any, path: str, says: str) -> None:
    response = await front.get(path)
    assert response.status_code == 400
    assert says in response.json()["message"]


async def test_the_whole_message_can_be_the_body_and_the_path_wins(front: Any) -> None:
    response = await front.post("/v1/things", json={"name": "a", "int32Value": 3, "inner": {"label": "l"}})
    assert (response.json()["name"], response.json()["int32Value"]) == ("a", 3)
    response = await front.post("/v1/things/path:rename", json={"name": "body", "texts": ["t"]})
    assert (response.json()["name"], response.json()["texts"]) == ("path", ["t"])


async def test_an_empty_body_is_an_empty_message(front: Any) -> None:
    response = await front.post("/v1/things", content=b"")
    assert response.status_code == 200
    assert response.json()["name"] == ""


async def test_a_body_of_the_whole_message_leaves_nothing_to_the_query(front: Any) -> None:
    response = await front.post("/v1/things?name=x", json={})
    assert response.status_code == 400
    assert "body" in response.json()["message"]


async def test_a_field_can_be_the_body_and_another_the_response(front: Any) -> None:
    response = await front.client.patch("/v1/things/n", json={"int32Value": 3, "inner": {"count": 1, "label": None}})
    assert response.status_code == 200
    assert response.json()["name"] == "n"
    assert response.json()["int32Value"] == 3
    assert list(front.echo.requests[0].update_mask.paths) == ["inner.count", "inner.label", "int32_value"]


async def test_patch_keeps_a_mask_that_is_given(front: Any) -> None:
    await front.client.patch("/v1/things/n?update_mask=name", json={"int32Value": 3})
    assert list(front.echo.requests[0].update_mask.paths) == ["name"]


async def test_patch_masks_stop_at_lists_maps_and_well_known_types(front: Any) -> None:
    body = {"inners": [{"label": "x"}], "labels": {"a": "b"}, "struct": {"a": {"b": 1}}, "time": None, "inner": {}}
    await front.client.patch("/v1/things/n", json=body)
    assert list(front.echo.requests[0].update_mask.paths) == ["inner", "inners", "labels", "struct", "time"]


async def test_an_empty_patch_is_refused_rather_than_clearing_everything(front: Any) -> None:
    response = await front.client.patch("/v1/things/n", json={})
    assert response.status_code == 400
    assert "at least one" in response.json()["message"]


async def test_put_derives_no_mask(front: Any) -> None:
    response = await front.client.put("/v1/things/n", json={"int32Value": 3})
    assert response.json() == ""
    assert front.echo.requests[0].thing.int32_value == 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/tags/n", ["a", "b"]),
        ("/v1/counts/n", {"a": 1}),
        ("/v1/note/n", "text"),
        ("/v1/any/n", None),
        ("/v1/any/n", [1, {"a": None}]),
    ],
)
async def test_a_body_field_may_be_of_any_kind(front: Any, path: str, body: Any) -> None:
    response = await front.post(path, content=json.dumps(body).encode(), headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    assert response.json() == body


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/tags/n", "{}"), ("/v1/note/n", "null"), ("/v1/counts/n", '{"a": "x"}')]
)
async def test_a_body_field_of_another_kind_is_refused(front: Any, path: str, body: str) -> None:
    response = await front.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


async def test_the_query_cannot_reach_into_the_body_field(front: Any) -> None:
    response = await front.client.patch("/v1/things/n?thing.int32_value=1", json={"name": "x"})
    assert response.status_code == 400
    assert "body" in response.json()["message"]


async def test_other_fields_come_from_the_query_beside_a_body_field(front: Any) -> None:
    await front.post("/v1/tags/n?note=hello", json=["a"])
    assert (front.echo.requests[0].note, front.echo.requests[0].thing.name) == ("hello", "n")


async def test_an_idempotency_key_becomes_the_request_id_unless_there_is_one(front: Any) -> None:
    await front.post("/v1/things", json={}, headers={"Idempotency-Key": "k1"})
    await front.post("/v1/things", json={"requestId": "own"}, headers={"Idempotency-Key": "k1"})
    assert [each.request_id for each in front.echo.requests] == ["k1", "own"]


async def test_a_body_where_none_is_taken_is_refused_but_an_empty_object_is_not(front: Any) -> None:
    response = await front.client.request("DELETE", "/v1/things/x", content=b'{"a": 1}')
    assert response.status_code == 415
    response = await front.client.request("DELETE", "/v1/things/x", content=b"{}")
    assert response.status_code == 200


async def test_unknown_query_parameters_are_dropped_where_the_operator_wants_it(start_front: Any) -> None:
    async with start_front(gateway_ignore_unknown_query=True, gateway_ignore_unknown_fields=True) as front:
        assert (await front.get("/v1/things/x?nosuch=1&_=2")).status_code == 200
        assert (await front.post("/v1/things", json={"nosuch": 1})).status_code == 200


async def test_what_nests_deeper_than_protobuf_reads_is_refused(front: Any) -> None:
    struct: Any = {}
    for _ in range(40):
        struct = {"a": struct}
    response = await front.post("/v1/things", json={"struct": struct})
    assert response.status_code == 400
    assert "nested" in response.json()["message"]
    assert front.echo.requests == []
