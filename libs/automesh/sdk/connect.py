"""Opens the connection of a program that is told by AUTOMESH_* settings where the platform is and who it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.mesh.process import joined
from automesh.mesh.renewal import renew_forever
from automesh.sdk.certificate import ClientCertificates
from automesh.sdk.connection import Connection, TokenConnection
from automesh.sdk.settings import SdkSettings
from automesh.sdk.tokens import ApiKeyTokens, FileTokens


@asynccontextmanager
async def connect(settings: SdkSettings | None = None) -> AsyncGenerator[Connection]:
    """The connection, whose certificate is renewed as long as it is open.

    Without `settings` they come from the environment. Raises ConfigurationError or BadIdentity, saying what is missing.
    """
    settings = (settings or SdkSettings()).resolved()
    source = settings.credentials()
    async with joined(settings) as mesh:
        if source.token_file is not None:
            connection = TokenConnection(mesh, FileTokens(source.token_file))
        else:
            connection = TokenConnection(mesh, ApiKeyTokens(source.api_key, mesh.channel("auth")))
        if mesh.spiffe_id.client:
            certificates = ClientCertificates(connection, mesh.spiffe_id)
            mesh.spawn(renew_forever(mesh.files, certificates.issue), "renew certificate")
        yield connection
