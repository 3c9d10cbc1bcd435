"""A receiver of webhooks on this machine, over HTTPS, that behaves well or badly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from automesh.testing.ca import ThrowawayCa
from automesh.testing.changes import Changes

SAID = {200: "OK", 302: "Found", 500: "Broken"}


@dataclass
class Heard:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with the next status of its script, 200 at its end; at "/hang" never."""

    ca_file: Path
    port: int = 0
    script: list[int] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)

    def url(self, path: str = "/hook") -> str:
        """Where to send."""
        return f"https://localhost:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        try:
            head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.heard.append(Heard(head.split(" ")[1], headers, body))
            self.changes()
            if self.heard[-1].path == "/hang":
                await reader.read()  # until the other side gives up
            else:
                status = self.script.pop(0) if self.script else 200
                writer.write(
                    f"HTTP/1.1 {status} {SAID[status]}\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n".encode()
                )
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(tmp_path: Path) -> AsyncGenerator[Receiver]:
    """Listens while it is open."""
    ca = ThrowawayCa(tmp_path / "ca")
    identity = ca.identity([], dns=["localhost"], ips=["127.0.0.1"])
    for name, content in (
        ("chain.pem", identity.certificate_pem),
        ("key.pem", identity.key_pem),
        ("roots.pem", ca.bundle_pem),
    ):
        (tmp_path / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    made = Receiver(tmp_path / "roots.pem")
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    await listening.wait_closed()
