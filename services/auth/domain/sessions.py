"""Signing in and out: by password, by refresh token, by API key. Every outcome is audited with the person's id."""

from __future__ import annotations

from collections.abc import Callable

from automesh.core.clock import Clock
from automesh.core.errors import Unauthenticated
from services.auth.domain import api_keys, refresh
from services.auth.domain.actor import Origin
from services.auth.domain.audit import AuditLog
from services.auth.domain.lockout import Lockout
from services.auth.domain.passwords import LONGEST, PasswordHasher
from services.auth.domain.refresh import Outcome, RefreshPolicy, RefreshStore, RefreshToken
from services.auth.domain.tokens import AccessTokens, TokenPair
from services.auth.domain.turnstile import Turnstile
from services.auth.domain.user import User
from services.auth.domain.user_store import UserStore

_SERVICE = "automesh.auth.v1.TokenService"


class BadCredentials(Unauthenticated):
    """Name or password, or the key, is not right; which one is never said."""

    reason = "BAD_CREDENTIALS"


class BadRefreshToken(Unauthenticated):
    """Unknown, expired, revoked or used before; which one is never said."""

    reason = "BAD_REFRESH_TOKEN"


class Sessions:
    """Gives out tokens to those who show a secret."""

    def __init__(
        self,
        *,
        users: UserStore,
        keys: api_keys.ApiKeyStore,
        refresh_tokens: RefreshStore,
        access_tokens: AccessTokens,
        hasher: PasswordHasher,
        lockout: Lockout,
        turnstile: Turnstile,
        audit: AuditLog,
        clock: Clock,
        new_id: Callable[[str], str],
        policy: RefreshPolicy | None = None,
    ) -> None:
        self._users, self._keys, self._refresh_tokens = users, keys, refresh_tokens
        self._access_tokens, self._hasher = access_tokens, hasher
        self._lockout, self._turnstile, self._audit = lockout, turnstile, audit
        self._clock, self._new_id = clock, new_id
        self._policy = policy or RefreshPolicy()

    async def login(self, username: str, password: str, origin: Origin) -> TokenPair:
        """Raises BadCredentials the same way and as slowly whatever is wrong, TooManyFailures when it is too early."""
        async with self._turnstile.turn(username):
            await self._lockout.admit(username, origin.source)
            known = await self._users.find_by_name(username)
            if known is None or not await self._proves(known, password) or known.spec.disabled:
                if known is None:
                    await self._hasher.verify(password[:LONGEST], None)
                await self._lockout.failed(username, origin.source)
                await self._note("Login", BadCredentials.reason, origin, known)
                raise BadCredentials("the name or the password is not right")
            await self._lockout.succeeded(username)
        await self._note("Login", "", origin, known)
        return await self._open(known)

    async def refresh(self, text: str, origin: Origin) -> TokenPair:
        """A new pair for a refresh token, which is used up. Raises BadRefreshToken."""
        secret = refresh.from_text(text)
        if secret is None:
            raise _bad_refresh_token()
        now = self._clock()
        rotation = await self._refresh_tokens.rotate(
            refresh.digest_of(secret), lambda token: refresh.rotate(token, secret, now, self._policy)
        )
        if rotation is None:
            raise _bad_refresh_token()
        user = await self._owner(rotation.token)
        if user is None or rotation.outcome in (Outcome.REUSED, Outcome.ENDED):
            reason = "REFRESH_TOKEN_REUSED" if rotation.outcome is Outcome.REUSED else BadRefreshToken.reason
            await self._note("RefreshToken", reason, origin, user)
            raise _bad_refresh_token()
        await self._note("RefreshToken", "", origin, user)
        return self._pair(user, refresh.to_text(rotation.successor_secret))

    async def logout(self, text: str, origin: Origin) -> None:
        """Revokes the token and all that came of it. Says nothing about whether there was one."""
        secret = refresh.from_text(text)
        token = await self._refresh_tokens.revoke(refresh.digest_of(secret), self._clock()) if secret else None
        if token is not None:
            await self._note("Logout", "", origin, await self._owner(token))

    async def exchange(self, text: str, origin: Origin) -> TokenPair:
        """An access token for an API key. Raises BadCredentials, or TooManyFailures for a guessing source."""
        await self._lockout.admit("", origin.source)
        key_id = api_keys.key_id_in(text)
        key = await self._keys.find(key_id) if key_id else None
        now = self._clock()
        owner = await self._users.find(key.owner_id) if key and key.opens_with(api_keys.digest_of(text), now) else None
        if key is None or owner is None or owner.spec.disabled:
            await self._lockout.failed("", origin.source)
            await self._note_key("UNAUTHENTICATED", BadCredentials.reason, origin, key)
            raise BadCredentials("this API key is not valid, or no longer")
        if key.is_due_for_use_mark(now):
            await self._keys.mark_used(key.key_id, now)
        await self._note_key("OK", "", origin, key)
        token = self._access_tokens.issue(
            subject=key.key_id,
            name=key.spec.name,
            username=owner.spec.username,
            tenant_id=key.tenant_id,
            roles=() if key.spec.permissions else owner.spec.roles,
            permissions=key.permissions_with(owner),
        )
        return TokenPair(access_token=token, expires_in=self._access_tokens.lifetime)

    async def _proves(self, user: User, password: str) -> bool:
        verdict = await self._hasher.verify(password[: LONGEST + 1], user.password_hash)
        if verdict.matches and verdict.outdated:
            await self._users.replace_hash(user.user_id, user.password_hash, await self._hasher.hash(password))
        return verdict.matches

    async def _open(self, user: User) -> TokenPair:
        token, text = refresh.new_token(
            family_id=self._new_id("ses"),
            user_id=user.user_id,
            tenant_id=user.spec.tenant_id,
            now=self._clock(),
            policy=self._policy,
        )
        await self._refresh_tokens.add(token)
        return self._pair(user, text)

    def _pair(self, user: User, refresh_text: str) -> TokenPair:
        token = self._access_tokens.issue(
            subject=user.user_id,
            name=user.spec.username,
            username=user.spec.username,
            tenant_id=user.spec.tenant_id,
            roles=user.spec.roles,
            permissions=user.permissions,
        )
        return TokenPair(access_token=token, expires_in=self._access_tokens.lifetime, refresh_token=refresh_text)

    async def _owner(self, token: RefreshToken) -> User | None:
        user = await self._users.find(token.family.user_id)
        return None if user is None or user.spec.disabled else user

    async def _note(self, method: str, reason: str, origin: Origin, user: User | None) -> None:
        """An entry about a person. A name that nobody has is not written down: people type passwords there."""
        await self._audit.note(
            f"{_SERVICE}/{method}",
            "UNAUTHENTICATED" if reason else "OK",
            origin,
            subject=user.user_id if user else "",
            tenant_id=user.spec.tenant_id if user else "",
            resource=user.user_id if user else "",
            reason=reason,
        )

    async def _note_key(self, outcome: str, reason: str, origin: Origin, key: api_keys.ApiKey | None) -> None:
        await self._audit.note(
            f"{_SERVICE}/ExchangeApiKey",
            outcome,
            origin,
            subject=key.key_id if key else "",
            tenant_id=key.tenant_id if key else "",
            resource=key.owner_id if key else "",
            reason=reason,
        )


def _bad_refresh_token() -> BadRefreshToken:
    return BadRefreshToken("the refresh token is not valid, or no longer: sign in again")
