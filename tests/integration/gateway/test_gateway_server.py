"""The HTTP server itself: TLS, both kinds of HTTP, ports, settings, pages; and `python -m gateway` from outside."""

import asyncio
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pydantic
import pytest

from automesh.local.ports import free_port
from automesh.mesh.server import PortInUse
from automesh.testing.ca import ThrowawayCa
from automesh.web import server
from automesh.web.server import BadCertificate, Listen, serving
from gateway.settings import Settings

LIMIT_S = 10.0


@pytest.fixture
def web_files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Certificate, key and root for 127.0.0.1."""
    ca = ThrowawayCa(tmp_path)
    identity = ca.identity([], dns=["localhost"], ips=["127.0.0.1"])
    certificate, key, root = tmp_path / "web.pem", tmp_path / "web.key", tmp_path / "root.pem"
    certificate.write_bytes(identity.certificate_pem)
    key.write_bytes(identity.key_pem)
    root.write_bytes(ca.bundle_pem)
    return certificate, key, root


async def fetch(port: int, root: Path, *, alpn: list[str], version: ssl.TLSVersion | None = None) -> tuple[str, bytes]:
    context = ssl.create_default_context(cafile=root)
    context.set_alpn_protocols(alpn)
    if version is not None:
        context.maximum_version = version
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    if chosen == "h2":
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    else:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(9), LIMIT_S)
    writer.close()
    return chosen or "", answer


async def test_https_speaks_both_kinds_of_http(start_front: Any, web_files: tuple[Path, Path, Path]) -> None:
    certificate, key, root = web_files
    async with start_front(
        gateway_tls="on", gateway_tls_certificate_file=certificate, gateway_tls_key_file=key
    ) as front:
        port = front.settings.gateway_port
        assert await fetch(port, root, alpn=["http/1.1"]) == ("http/1.1", b"HTTP/1.1 ")
        assert await fetch(port, root, alpn=["http/1.1"], version=ssl.TLSVersion.TLSv1_2) == ("http/1.1", b"HTTP/1.1 ")
        chosen, frame = await fetch(port, root, alpn=["h2", "http/1.1"])
        assert chosen == "h2"
        assert frame[3] == 4  # SETTINGS
        async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=root)) as client:
            assert (await client.get(f"https://127.0.0.1:{port}/v1/things/x")).json()["name"] == "x"


async def test_a_port_in_use_is_refused_with_the_next_step(front: Any) -> None:
    listen = Listen("127.0.0.1", front.settings.gateway_port, setting="AUTOMESH_GATEWAY_PORT")
    with pytest.raises(PortInUse, match="AUTOMESH_GATEWAY_PORT"):
        async with serving(nothing, listen):
            pass


async def test_a_server_of_one_kind_of_http_ends_connections_on_which_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_HEAD_MS", 200)
    listen = Listen("127.0.0.1", free_port(), max_requests=2, http2=False)
    async with serving(nothing, listen):
        silent = [await asyncio.open_connection(listen.host, listen.port) for _ in range(2)]
        async with asyncio.timeout(LIMIT_S):
            assert [await reader.read() for reader, _ in silent] == [b"", b""]
        for _, writer in silent:
            writer.close()


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that does nothing."""


async def test_a_bad_web_certificate_is_refused_by_name(tmp_path: Path, web_files: tuple[Path, Path, Path]) -> None:
    certificate, _, _ = web_files
    other = ThrowawayCa(tmp_path / "other").identity([], dns=["localhost"])
    wrong_key = tmp_path / "wrong.key"
    wrong_key.write_bytes(other.key_pem)
    for key in (wrong_key, tmp_path / "absent.key"):
        with pytest.raises(BadCertificate, match=key.name):
            async with serving(nothing, Listen("127.0.0.1", free_port(), certificate, key)):
                pass


def test_plain_http_is_for_loopback_only() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert Settings(gateway_tls="off", gateway_host=host).gateway_host == host
    for host in ("0.0.0.0", "192.168.1.1", "example.com", "::"):  # noqa: S104 - refused, which is the point
        with pytest.raises(pydantic.ValidationError, match="loopback"):
            Settings(gateway_tls="off", gateway_host=host)


def test_https_needs_a_certificate() -> None:
    with pytest.raises(pydantic.ValidationError, match="TLS_CERTIFICATE_FILE"):
        Settings()


def test_settings_that_cannot_be_used_end_the_program_with_one_line_each(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AUTOMESH_")}
    done = subprocess.run(
        [sys.executable, "-m", "gateway"],
        env={**environment, "AUTOMESH_GATEWAY_TLS": "off", "AUTOMESH_GATEWAY_PORT": "x"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert "AUTOMESH_GATEWAY_PORT" in done.stderr
    assert "Traceback" not in done.stderr


async def test_the_open_api_document_names_every_route_of_every_set(front: Any) -> None:
    response = await front.get("/api/v1/openapi.json")
    assert response.status_code == 200
    document = response.json()
    assert document["openapi"] == "3.1.0"
    assert "get" in document["paths"]["/v1/things/{name}"]
    assert "post" in document["paths"]["/api/v1/tasks"]


async def test_the_page_for_people_lists_the_routes_and_can_run_nothing(front: Any) -> None:
    response = await front.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src &#x27;none&#x27;" not in response.text
    assert "script-src" not in response.headers["content-security-policy"]
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "/api/v1/tasks/{task_id}" in response.text
    assert "<script" not in response.text


async def test_healthz_says_that_the_process_lives(front: Any) -> None:
    assert (await front.get("/healthz")).text == "ok\n"
    assert (await front.post("/healthz")).status_code == 405


async def test_a_bad_descriptor_set_is_refused_by_name(start_front: Any, tmp_path: Path) -> None:
    from gateway.descriptors import BadDescriptors

    junk = tmp_path / "junk.binpb"
    junk.write_bytes(b"\xff\xff\xff")
    for path, says in ((junk, "no FileDescriptorSet"), (tmp_path / "absent.binpb", "absent.binpb")):
        with pytest.raises(BadDescriptors, match=says):
            async with start_front(gateway_descriptor_files=(path,)):
                pass


async def test_a_client_that_holds_a_connection_cannot_stop_the_stopping(start_front: Any) -> None:
    async with start_front() as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.settings.gateway_port)
        writer.write(b"POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        _, idle = await asyncio.open_connection("127.0.0.1", front.settings.gateway_port)
        await front.get("/healthz")
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < LIMIT_S
    writer.close()
    idle.close()
