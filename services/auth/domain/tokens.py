"""Access tokens: what they say and how long they live. Signing is a port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from automesh.core.clock import Clock

AUDIENCE = "automesh"
LIFETIME = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What an access token says about its bearer."""

    token_id: str
    subject: str
    name: str
    username: str
    """Of the person; an API key's owner."""
    tenant_id: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What signing in gives. The refresh token is empty for programs."""

    access_token: str = field(repr=False)
    expires_in: timedelta
    refresh_token: str = field(default="", repr=False)


class TokenSigner(Protocol):
    """Turns claims into a signed token with the key in use."""

    def sign(self, claims: Claims) -> str:
        """The token. Raises Unavailable while there is no key in use."""
        ...


class AccessTokens:
    """Makes access tokens."""

    def __init__(
        self,
        signer: TokenSigner,
        clock: Clock,
        new_id: Callable[[str], str],
        *,
        lifetime: timedelta = LIFETIME,
    ) -> None:
        self._signer, self._clock, self._new_id = signer, clock, new_id
        self.lifetime = lifetime

    def issue(
        self,
        *,
        subject: str,
        name: str,
        username: str,
        tenant_id: str,
        roles: Iterable[str],
        permissions: Iterable[str],
    ) -> str:
        """A signed token that lives from now on for the lifetime."""
        now = self._clock()
        return self._signer.sign(
            Claims(
                token_id=self._new_id("jti"),
                subject=subject,
                name=name,
                username=username,
                tenant_id=tenant_id,
                roles=tuple(sorted(roles)),
                permissions=tuple(sorted(permissions)),
                issued_at=now,
                expires_at=now + self.lifetime,
            )
        )
