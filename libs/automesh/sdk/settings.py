"""What a program that uses the platform is told by its environment: AUTOMESH_<NAME>."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from automesh.mesh.settings import MeshSettings
from automesh.sdk.errors import ConfigurationError

MAKE_ONE = "make one with `automesh cert issue --client NAME`"


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where access tokens come from: a file that somebody keeps fresh, or an API key to trade."""

    api_key: str = ""
    token_file: Path | None = None


class SdkSettings(MeshSettings):
    """A client certificate opens the connection; an API key, or a file with an access token, says who calls.

    On the machine of a local stack, AUTOMESH_STATE_DIR alone tells where control is and which certificate there is.
    """

    service: str = "sdk"
    api_key: SecretStr = Field(SecretStr(""), description="an API key; better kept in api_key_file")
    api_key_file: Path | None = Field(None, description="a file that holds the API key")
    token_file: Path | None = Field(None, description="a file with an access token, kept fresh by somebody else")

    def resolved(self) -> SdkSettings:
        """With what was not said taken from the local stack. Raises ConfigurationError when that does not tell."""
        found: dict[str, Any] = {}
        if "identity_dir" not in self.model_fields_set:
            found["identity_dir"] = self._client_identity()
        if "control_address" not in self.model_fields_set and (address := self._stack_control()):
            found["control_address"] = address
        return self.model_copy(update=found)

    def credentials(self) -> CredentialSource:
        """Raises ConfigurationError when there are none."""
        if self.token_file is not None:
            return CredentialSource(token_file=self.token_file)
        key = self.api_key.get_secret_value().strip() or self._key_in_file()
        if not key:
            raise ConfigurationError(
                "no credentials: set AUTOMESH_API_KEY_FILE to a file with an API key (`automesh key create NAME` makes "
                "one), AUTOMESH_API_KEY to the key itself, or AUTOMESH_TOKEN_FILE to a file with an access token"
            )
        return CredentialSource(api_key=key)

    def _key_in_file(self) -> str:
        if self.api_key_file is None:
            return ""
        try:
            return self.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"cannot read AUTOMESH_API_KEY_FILE {self.api_key_file}: {error}", path=self.api_key_file
            ) from error

    def _client_identity(self) -> Path:
        clients = self.state_dir / "clients"
        found = sorted(path.parent for path in clients.glob("*/cert.pem"))
        if not found:
            raise ConfigurationError(
                f"no client certificate in {clients}: {MAKE_ONE}, or set AUTOMESH_IDENTITY_DIR to the folder of one",
                path=clients,
            )
        if len(found) > 1:
            names = ", ".join(str(path) for path in found)
            raise ConfigurationError(f"several client certificates: set AUTOMESH_IDENTITY_DIR to one of {names}")
        return found[0]

    def _stack_control(self) -> str:
        try:
            stack = json.loads((self.state_dir / "stack.json").read_text(encoding="utf-8"))
            return str(stack.get("control_address", ""))
        except (OSError, ValueError, AttributeError):
            return ""
