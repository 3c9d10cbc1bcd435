"""Access tokens for calls: traded for an API key and renewed in time, or read from a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import grpc

from automesh.auth.v1 import token_service_pb2 as pb
from automesh.auth.v1 import token_service_pb2_grpc as rpc
from automesh.mesh.errors import translating_errors
from automesh.sdk.errors import ConfigurationError

RENEW_AT = 0.7  # of a token's life
EXCHANGE_S = 10.0  # the longest an exchange may take


class Credentials(Protocol):
    """Knows an access token that is valid now."""

    async def access_token(self) -> str:
        """Raises AutomationError when there is none to be had."""
        ...


class ApiKeyTokens:
    """Trades an API key for access tokens, one for all calls, and a new one before the old one ends."""

    def __init__(self, api_key: str, auth: grpc.aio.Channel, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api_key = api_key
        self._stub = rpc.TokenServiceStub(auth)
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def access_token(self) -> str:
        """The token in hand, or a new one when it is getting old."""
        async with self._one_at_a_time:
            if not self._token or self._clock() >= self._renew_at:
                await self._exchange()
            return self._token

    async def _exchange(self) -> None:
        with translating_errors():
            request = pb.ExchangeApiKeyRequest(api_key=self._api_key)
            tokens = (await self._stub.ExchangeApiKey(request, timeout=EXCHANGE_S)).tokens
        self._token = tokens.access_token
        self._renew_at = self._clock() + tokens.expires_in.ToTimedelta().total_seconds() * RENEW_AT


class FileTokens:
    """Reads the token anew for each call: whoever keeps the file fresh may replace it at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def access_token(self) -> str:
        """The first line of the file."""
        try:
            token = (await asyncio.to_thread(self._path.read_text)).strip()
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"cannot read the access token in {self._path}: {error}", path=self._path
            ) from error
        if not token:
            raise ConfigurationError(f"{self._path} is empty: it must hold an access token", path=self._path)
        return token
