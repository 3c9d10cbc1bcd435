"""Whatever a client sends, it gets one answer, and never a 500: that would be a fault of the gateway's own."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.api_keys import AccessToken, ApiKeys
from gateway.calls import Invoker
from gateway.descriptors import Catalog, Rpc
from gateway.http import Gateway
from gateway.metadata import Deadlines
from gateway.rpc import Call, Metadata
from gateway.site import build_site
from gateway.streaming import Streamer


class FakeCall:
    """Answers with an empty message, and ends streams at once."""

    async def reply(self) -> bytes:
        return b""

    async def read(self) -> bytes | None:
        return None

    async def write(self, payload: bytes) -> None:
        """Takes it."""

    async def done_writing(self) -> None:
        """Nothing follows."""

    async def headers(self) -> Metadata:
        return ()

    def cancel(self) -> None:
        """Nothing to stop."""


class FakeUpstream:
    """Takes every call."""

    def call(self, rpc: Rpc, payload: bytes | None, metadata: Metadata, timeout_s: float) -> Call:
        return FakeCall()


async def exchange(api_key: str) -> AccessToken:
    return AccessToken("jwt", 300)


@pytest.fixture(scope="module")
def paths(echo: Catalog) -> list[str]:
    return [endpoint.rule.template for endpoint in build_site(echo).endpoints]


def make(echo: Catalog) -> Gateway:
    invoker = Invoker(FakeUpstream(), ApiKeys(exchange), Deadlines(30, 60, 60), max_body=5_000, trust_forwarded=True)
    return Gateway(
        build_site(echo), invoker, Streamer(invoker, asyncio.Event(), keep_alive_s=1), max_headers=5_000, slow_s=60
    )


async def answer(gateway: Gateway, scope: dict[str, Any], chunks: Sequence[bytes]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    waiting = list(chunks) or [b""]

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def send(event: Any) -> None:
        sent.append(event)

    await asyncio.create_task(gateway(scope, receive, send))  # type: ignore[arg-type]
    return sent


NAMES = ["name", "int32_value", "texts", "labels[a]", "inner.label", "time", "struct", "any", "choice_text", "x", "to"]
QUERY = st.lists(
    st.tuples(st.sampled_from(NAMES) | st.text(max_size=8), st.text(max_size=8)).map("=".join), max_size=4
).map(lambda parts: "&".join(parts).encode("utf-8", "surrogatepass")) | st.binary(max_size=20)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "inner", "any", "@type", "value", "texts", "byNumber", "to"]), inner)
    ),
    max_leaves=8,
)
BODY = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)
HEADER_NAMES = [
    b"accept", b"authorization", b"content-type", b"content-length", b"content-encoding", b"expect", b"grpc-timeout",
    b"x-request-timeout", b"x-request-id", b"traceparent", b"tracestate", b"x-forwarded-for", b"idempotency-key",
    b"last-event-id", b"grpc-metadata-x", b"grpc-metadata-x-bin", b"grpc-metadata-:a", b"grpc-metadata-",
]  # fmt: skip
HEADER_VALUES = st.sampled_from([b"", b"application/json", b"text/event-stream", b"Bearer am_x", b"1S"]) | st.binary(
    max_size=12
)
PATH_PIECES = st.sampled_from(["a", "%2F", "%", "%ff", "ä", "", ":rename", "..", "1", "-1", "true", "x" * 50])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_request_is_a_fault_of_the_gateway(echo: Catalog, paths: list[str], data: st.DataObject) -> None:
    template = data.draw(st.sampled_from(paths))
    path = "/" + "/".join(
        data.draw(PATH_PIECES) if "{" in piece or data.draw(st.integers(0, 9)) == 0 else piece
        for piece in template[1:].split("/")
    )
    scope = {
        "type": "http",
        "method": data.draw(
            st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "REPORT", "X"])
        ),
        "raw_path": path.encode(),
        "query_string": data.draw(QUERY),
        "headers": data.draw(st.lists(st.tuples(st.sampled_from(HEADER_NAMES), HEADER_VALUES), max_size=4)),
        "client": ("127.0.0.1", "1"),
    }
    events = asyncio.run(answer(make(echo), scope, data.draw(st.lists(BODY, max_size=3))))
    starts = [event for event in events if event["type"] == "http.response.start"]
    assert len(starts) <= 1
    if starts:  # none: the client left before its body ended
        assert starts[0]["status"] != 500, events
        assert events[-1]["more_body"] is False
        for name, value in starts[0]["headers"]:
            assert b"\n" not in name + value
            assert b"\r" not in name + value
