"""A connection to Consul: py-consul over aiohttp, with every request bounded in time."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import consul.aio
import consul.base
from consul import ConsulException

from automesh.core.errors import ValidationError

CONSUL_FAULTS = (ConsulException, aiohttp.ClientError, TimeoutError, OSError)
"""What a request raises when Consul is away, or does not like it."""

DEFAULT_PORTS = {"http": 8500, "https": 8501}


class _HttpClient(consul.aio.HTTPClient):  # type: ignore[misc] # py-consul has no types
    """py-consul's own makes its connector in a way that aiohttp 3.14 warns about; this one differs in that alone."""

    def __init__(self, host: str, port: int, scheme: str, *, ca_file: Path | None, timeout_s: float) -> None:
        consul.base.HTTPClient.__init__(self, host, port, scheme)
        secure = ssl.create_default_context(cafile=ca_file) if scheme == "https" else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=secure), timeout=aiohttp.ClientTimeout(total=timeout_s)
        )


class ConsulConnection(consul.aio.Consul):  # type: ignore[misc] # py-consul has no types
    """py-consul's asyncio client for `address` ("host:port", or a URL with http or https).

    `ca_file` holds the roots for https, and makes an address without a scheme an https one. The ACL token is read from
    `token_file` for each request, so that it can be changed without a restart. An asyncio loop must be running. Close
    it with `await close()`.
    """

    def __init__(
        self, address: str, *, token_file: Path | None = None, ca_file: Path | None = None, timeout_s: float = 5.0
    ) -> None:
        host, port, scheme = parse_address(address, scheme="https" if ca_file else "http")
        self._token_file, self._ca_file = token_file, ca_file
        self._timeout_s = timeout_s
        super().__init__(host, port, scheme=scheme, verify=True)

    def http_connect(
        self, host: str, port: int, scheme: str, verify: bool | str = True, cert: Any = None
    ) -> _HttpClient:
        """Called by py-consul's constructor."""
        return _HttpClient(host, port, scheme, ca_file=self._ca_file, timeout_s=self._timeout_s)

    def prepare_headers(self, token: str | None = None) -> dict[str, str]:
        """Called by py-consul for each request."""
        secret = token or (self._token_file.read_text().strip() if self._token_file else "")
        return {"X-Consul-Token": secret} if secret else {}


def parse_address(address: str, *, scheme: str = "http") -> tuple[str, int, str]:
    """Host, port and scheme of "host", "host:port" or "https://host:port". Raises ValidationError."""
    named, separator, rest = address.rpartition("://")
    scheme = named if separator else scheme
    host, _, port = rest.rstrip("/").partition(":")
    if scheme not in DEFAULT_PORTS or not host or (port and not port.isdigit()):
        raise ValidationError(
            f"{address!r} is no address of Consul: write host:port or https://host:port", field="consul_address"
        )
    return host, int(port or DEFAULT_PORTS[scheme]), scheme
