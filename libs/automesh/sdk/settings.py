"""What a program that uses the platform is told by its environment: AUTOMESH_<NAME>."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr

from automesh.mesh.settings import MeshSettings
from automesh.sdk.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where access tokens come from: a file that somebody keeps fresh, or an API key to trade."""

    api_key: str = ""
    token_file: Path | None = None


class SdkSettings(MeshSettings):
    """A client certificate opens the connection; an API key, or a file with an access token, says who calls."""

    service: str = "sdk"
    api_key: SecretStr = Field(SecretStr(""), description="an API key, am_...; better kept in api_key_file")
    api_key_file: Path | None = Field(None, description="a file that holds the API key")
    token_file: Path | None = Field(None, description="a file with an access token, kept fresh by somebody else")

    def credentials(self) -> CredentialSource:
        """Raises ConfigurationError when there are none."""
        if self.token_file is not None:
            return CredentialSource(token_file=self.token_file)
        key = self.api_key.get_secret_value().strip() or self._key_in_file()
        if not key:
            raise ConfigurationError(
                "no credentials: set AUTOMESH_API_KEY_FILE to a file with an API key, "
                "AUTOMESH_API_KEY to the key itself, or AUTOMESH_TOKEN_FILE to a file with an access token"
            )
        return CredentialSource(api_key=key)

    def _key_in_file(self) -> str:
        if self.api_key_file is None:
            return ""
        try:
            return self.api_key_file.read_text().strip()
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"cannot read AUTOMESH_API_KEY_FILE {self.api_key_file}: {error}", path=self.api_key_file
            ) from error
