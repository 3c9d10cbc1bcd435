"""Users, their sessions and keys, in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

from automesh.core.errors import AlreadyExists
from services.auth.domain.api_keys import ApiKey, ApiKeyNotFound, TooManyKeys
from services.auth.domain.refresh import Outcome, RefreshToken, Rotation
from services.auth.domain.tenant import EVERY_TENANT, Scope
from services.auth.domain.user import User, UsernameTaken, UserNotFound
from services.auth.domain.user_store import CreationKey


class FakePeople:
    """What the three stores share: removing a user takes their keys and sessions along."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.made_with: dict[tuple[str, str], tuple[str, str]] = {}
        self.keys: dict[str, ApiKey] = {}
        self.tokens: dict[bytes, RefreshToken] = {}

    def sign_out(self, user_id: str, now: datetime) -> None:
        """Revokes every family of the user."""
        for digest, token in self.tokens.items():
            if token.family.user_id == user_id and token.family.revoked_at is None:
                self.tokens[digest] = replace(token, family=replace(token.family, revoked_at=now))

    def forget(self, user_id: str) -> None:
        """Removes the user and all that is theirs."""
        del self.users[user_id]
        self.keys = {key_id: key for key_id, key in self.keys.items() if key.owner_id != user_id}
        self.tokens = {digest: token for digest, token in self.tokens.items() if token.family.user_id != user_id}


class FakeUserStore:
    """A services.auth.domain.user_store.UserStore."""

    def __init__(self, people: FakePeople) -> None:
        self._people = people

    async def add(self, user: User, key: CreationKey | None) -> User:
        if key is not None and (known := self._people.made_with.get((key.creator, key.request_id))):
            if known[1] != key.digest:
                raise AlreadyExists("used before with another body")
            return self._people.users[known[0]]
        if await self.find_by_name(user.spec.username):
            raise UsernameTaken(f"the username {user.spec.username} is taken")
        self._people.users[user.user_id] = user
        if key is not None:
            self._people.made_with[key.creator, key.request_id] = (user.user_id, key.digest)
        return user

    async def get(self, user_id: str, scope: Scope) -> User:
        user = self._people.users.get(user_id)
        if user is None or scope not in (EVERY_TENANT, user.spec.tenant_id):
            raise UserNotFound(f"there is no user {user_id}")
        return user

    async def find(self, user_id: str) -> User | None:
        return self._people.users.get(user_id)

    async def find_by_name(self, username: str) -> User | None:
        return next((user for user in self._people.users.values() if user.spec.username == username), None)

    async def list_newest(self, tenant_id: str, *, limit: int, before: str | None) -> list[User]:
        ids = sorted((each for each in self._people.users if before is None or each < before), reverse=True)
        users = [self._people.users[each] for each in ids]
        return [user for user in users if user.spec.tenant_id == tenant_id][:limit]

    async def change(self, user_id: str, scope: Scope, change: Callable[[User, int], User]) -> User:
        before = await self.get(user_id, scope)
        after = change(before, self._other_admins(before))
        self._people.users[user_id] = after
        if after.spec.disabled or after.password_hash != before.password_hash:
            self._people.sign_out(user_id, datetime.now(UTC))
        return after

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        user = self._people.users[user_id]
        if user.password_hash == old:
            self._people.users[user_id] = replace(user, password_hash=new)

    async def remove(self, user_id: str, scope: Scope, check: Callable[[User, int], None]) -> None:
        user = await self.get(user_id, scope)
        check(user, self._other_admins(user))
        self._people.forget(user_id)

    async def add_first(self, user: User, announce: Callable[[], Awaitable[None]]) -> bool:
        if self._people.users:
            return False
        await announce()
        self._people.users[user.user_id] = user
        return True

    def _other_admins(self, user: User) -> int:
        return sum(
            other.is_working_admin and other.spec.tenant_id == user.spec.tenant_id
            for other in self._people.users.values()
            if other.user_id != user.user_id
        )


class FakeRefreshStore:
    """A services.auth.domain.refresh.RefreshStore."""

    def __init__(self, people: FakePeople) -> None:
        self._people = people

    async def add(self, token: RefreshToken) -> None:
        self._people.tokens[token.digest] = token

    async def rotate(self, digest: bytes, decide: Callable[[RefreshToken], Rotation]) -> Rotation | None:
        token = self._people.tokens.get(digest)
        if token is None:
            return None
        rotation = decide(token)
        if rotation.outcome is Outcome.ROTATED and rotation.successor is not None:
            self._people.tokens[digest] = rotation.token
            await self.add(rotation.successor)
        elif rotation.outcome is Outcome.REUSED:
            self._revoke(token.family.family_id, rotation.token.family.revoked_at)
        return rotation

    async def revoke(self, digest: bytes, now: datetime) -> RefreshToken | None:
        token = self._people.tokens.get(digest)
        if token is not None:
            self._revoke(token.family.family_id, now)
        return token

    async def forget_before(self, moment: datetime) -> int:
        over = {token.family.family_id for token in self._people.tokens.values() if token.family.expires_at < moment}
        self._people.tokens = {
            digest: token
            for digest, token in self._people.tokens.items()
            if token.expires_at >= moment and token.family.family_id not in over
        }
        return len(over)

    def _revoke(self, family_id: str, now: datetime | None) -> None:
        for digest, token in self._people.tokens.items():
            if token.family.family_id == family_id and token.family.revoked_at is None:
                self._people.tokens[digest] = replace(token, family=replace(token.family, revoked_at=now))


class FakeApiKeyStore:
    """A services.auth.domain.api_keys.ApiKeyStore."""

    def __init__(self, people: FakePeople) -> None:
        self._people = people

    async def add(self, key: ApiKey, *, at_most: int) -> None:
        if key.owner_id not in self._people.users:
            raise UserNotFound(f"there is no user {key.owner_id}")
        if sum(other.owner_id == key.owner_id for other in self._people.keys.values()) >= at_most:
            raise TooManyKeys(f"you have {at_most} API keys")
        self._people.keys[key.key_id] = key

    async def find(self, key_id: str) -> ApiKey | None:
        return self._people.keys.get(key_id)

    async def list_newest(self, owner_id: str, tenant_id: str, *, limit: int, before: str | None) -> list[ApiKey]:
        mine = [
            key
            for key in self._people.keys.values()
            if (key.owner_id, key.tenant_id) == (owner_id, tenant_id) and (before is None or key.key_id < before)
        ]
        return sorted(mine, key=lambda key: key.key_id, reverse=True)[:limit]

    async def remove(self, key_id: str, owner_id: str, tenant_id: str) -> None:
        key = self._people.keys.get(key_id)
        if key is None or (key.owner_id, key.tenant_id) != (owner_id, tenant_id):
            raise ApiKeyNotFound(f"you have no API key {key_id}")
        del self._people.keys[key_id]

    async def mark_used(self, key_id: str, now: datetime) -> None:
        used = now.replace(second=0, microsecond=0)
        self._people.keys[key_id] = replace(self._people.keys[key_id], last_used_at=used)
