"""A gateway of the tests: real HTTP, the real routes and messages, answers from a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from google.protobuf.message import Message
from typer.testing import CliRunner, Result

from automesh.cli.main import cli
from automesh.core.errors import AutomationError
from gateway.codec import BadValue
from gateway.descriptors import load_catalog, own_descriptors
from gateway.endpoint import Endpoint
from gateway.errors import ErrorWriter
from gateway.routing import Match, parse_path
from gateway.site import Site, build_site

Answer = Callable[[Any], Any]
SITE: Site = build_site(load_catalog(own_descriptors()))
ERRORS: ErrorWriter = SITE.errors


class ScriptedGateway:
    """Binds each request as the gateway does, so that one which the contract does not know fails the test."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, Any]] = []
        self.bodies: list[bytes] = []

    def on(self, rpc: str, answer: Message | Exception | Answer | Sequence[Message]) -> None:
        """What the method answers: a message, an error, a list of messages of a stream, or what a function makes."""
        self.answers[rpc] = answer if callable(answer) else lambda _request: answer

    def requests(self, rpc: str) -> list[Any]:
        """The requests of this method, as messages."""
        return [request for name, request in self.seen if name == rpc]

    def serve(self, method: str, raw_path: str, query: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        """Status and body of the answer."""
        match = SITE.routes.match(method, parse_path(raw_path.encode()))
        if match is None:
            return 404, json.dumps({"code": 5, "message": f"no route: {method} {raw_path}"}).encode()
        try:
            return 200, self._answered(match, query, body, content_type)
        except (AutomationError, BadValue, grpc.RpcError) as error:
            written = ERRORS.write(error)
            return written.http_status, written.body

    def _answered(self, match: Match[Endpoint], query: str, body: bytes, content_type: str) -> bytes:
        endpoint = match.target
        name = endpoint.rpc.full_name.rpartition(".")[2]
        if endpoint.rpc.client_streaming:
            self.bodies.append(body)
            body = b""  # the file itself; the rest of the message comes from path and query
        request = endpoint.binder.bind(match.captures, query.encode(), body, content_type)
        self.seen.append((name, request))
        if name not in self.answers:
            raise AssertionError(f"nobody said what {name} answers")
        answer = self.answers[name](request)
        if isinstance(answer, Exception):
            raise answer
        return _shown(endpoint, answer)


def _shown(endpoint: Endpoint, answer: Message | bytes | Iterable[Message]) -> bytes:
    if isinstance(answer, bytes):
        return answer
    messages = [answer] if isinstance(answer, Message) else list(answer)
    parts = [endpoint.json(endpoint.response(message.SerializeToString())) for message in messages]
    if not endpoint.rpc.server_streaming:
        return parts[0]
    return b"".join(b'{"result":%b}\n' % part for part in parts)


def _handler(gateway: ScriptedGateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            kind = self.headers.get("content-type") or ""
            try:
                status, answer = gateway.serve(self.command, parts.path, parts.query, body, kind)
            except AssertionError as error:
                status, answer = 500, json.dumps({"code": 13, "message": str(error)}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    return Handler


class Terminal:
    """`automesh ...` against the scripted gateway."""

    def __init__(self, gateway: ScriptedGateway, url: str, folder: Path) -> None:
        self.gateway, self.folder, self.url = gateway, folder, url
        self._env = {"AUTOMESH_URL": url, "AUTOMESH_API_KEY": "am_test", "AUTOMESH_STATE_DIR": str(folder / "state")}

    def __call__(self, *words: str, typed: str = "", env: dict[str, str] | None = None) -> Result:
        """Runs a command; `typed` is what stands on its standard input."""
        return CliRunner().invoke(cli, list(words), input=typed, env={**self._env, **(env or {})})


@pytest.fixture
def gateway() -> ScriptedGateway:
    return ScriptedGateway()


@pytest.fixture
def automesh(gateway: ScriptedGateway, tmp_path: Path) -> Iterator[Terminal]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(gateway))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Terminal(gateway, f"http://127.0.0.1:{server.server_address[1]}", tmp_path)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
