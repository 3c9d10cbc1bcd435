"""Users are added, changed and removed by those who may, and nobody gives more than they hold."""

from datetime import timedelta
from importlib import resources
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from automesh.core.errors import AlreadyExists, PermissionDenied, ValidationError
from automesh.core.ids import new_id
from automesh.options.v1 import access_pb2
from services.auth.domain.actor import Actor, Origin
from services.auth.domain.directory import UserDirectory, WrongPassword
from services.auth.domain.first_admin import FirstAdmin
from services.auth.domain.lockout import Lockout, TooManyFailures
from services.auth.domain.roles import PERMISSIONS, ROLES, checked_permissions, permissions_of
from services.auth.domain.turnstile import Turnstile
from services.auth.domain.user import LastAdmin, NewUser, User, UserNotFound
from services.auth.fakes.people import FakePeople, FakeUserStore
from services.auth.fakes.things import FakeClock, FakeFailureStore, FakeHasher

PASSWORD = "violet otter crosses"
ORIGIN = Origin(source="host")


class House:
    """The directory over fakes."""

    def __init__(self) -> None:
        self.people, self.clock, self.hasher = FakePeople(), FakeClock(), FakeHasher()
        self.users = FakeUserStore(self.people)
        self.lockout = Lockout(FakeFailureStore(), self.clock)
        self.directory = UserDirectory(
            users=self.users,
            hasher=self.hasher,
            lockout=self.lockout,
            turnstile=Turnstile(),
            clock=self.clock,
            new_id=new_id,
        )

    async def add(self, name: str, *roles: str, tenant: str = "default") -> User:
        spec = NewUser(username=name, tenant_id=tenant, roles=frozenset(roles))
        hashed = await self.hasher.hash(PASSWORD)
        return await self.users.add(
            User(user_id=new_id("user"), spec=spec, password_hash=hashed, created_at=self.clock()), None
        )

    async def actor(self, name: str, *roles: str, tenant: str = "default") -> Actor:
        return acting(await self.add(name, *roles, tenant=tenant))


def acting(user: User) -> Actor:
    return Actor(subject=user.user_id, tenant_id=user.spec.tenant_id, permissions=user.permissions)


def wanted(name: str = "bob", *roles: str, tenant: str = "default", **more: Any) -> NewUser:
    return NewUser(username=name, tenant_id=tenant, roles=frozenset(roles), **more)


@pytest.fixture
def house() -> House:
    return House()


# ---------------------------------------------------------------- roles


def test_roles_hold_the_permissions_of_the_security_model() -> None:
    viewer = {"task.read", "agent.read", "data.read", "model.read", "webhook.read", "mesh.read", "apikey.read"}
    viewer |= {"doc.read"}
    tasks = {"task.create", "task.read", "task.update", "task.delete", "task.cancel"}
    data = {"data.read", "data.write", "data.delete"}
    models = {"model.read", "model.train", "model.write", "model.promote", "model.predict", "model.delete"}
    docs = {"doc.read", "doc.write", "doc.delete", "doc.review", "doc.publish"}
    assert permissions_of(["viewer"]) == viewer
    assert permissions_of(["developer"]) == viewer | tasks | data | models | docs | {
        "apikey.write",
        "certificate.issue",
    }
    assert permissions_of(["agent"]) == {"work.lease", "task.read", "certificate.issue"}
    assert permissions_of(["admin"]) == PERMISSIONS - {"tenant.any", "agent.drain"}
    assert permissions_of(["operator"]) == PERMISSIONS
    assert permissions_of(["agent", "viewer"]) == viewer | {"work.lease", "certificate.issue"}
    assert permissions_of([]) == permissions_of(["a role of yesterday"]) == frozenset()


def test_every_permission_asked_for_by_a_proto_exists_and_every_other_one_but_one_is_asked_for() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(
        resources.files("automesh").joinpath("descriptors.binpb").read_bytes()
    )
    asked = {
        method.options.Extensions[access_pb2.access].permission
        for file in files.file
        for service in file.service
        for method in service.method
    } - {""}
    assert asked <= PERMISSIONS
    assert PERMISSIONS - asked == {"tenant.any"}  # which no method asks for: it widens others


def test_an_unknown_permission_is_named_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match=r"'task\.fly'.*task\.read"):
        checked_permissions(["task.read", "task.fly"], field="permissions")


# ---------------------------------------------------------------- adding


async def test_an_admin_adds_a_user_to_their_tenant(house: House) -> None:
    admin = await house.actor("ann", "admin")
    user = await house.directory.create(admin, wanted("bob", "developer"), PASSWORD)
    assert user.user_id.startswith("user_")
    assert user.created_at == house.clock()
    assert await house.directory.get(admin, user.user_id) == user
    assert PASSWORD not in repr(user)
    assert user.password_hash not in repr(user)


@pytest.mark.parametrize("name", ["", "Bob", "bob smith", "b" * 65, "böb", "bob\0", "bob\n"])
async def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        wanted(name)
    assert caught.value.violations[0].field == "user.username"


@pytest.mark.parametrize("tenant", ["", "A", "a--b", "-a", "a-", "*", "a" * 32, "a_b", "a\n"])
async def test_a_tenant_that_cannot_be_is_refused(tenant: str) -> None:
    with pytest.raises(ValidationError) as caught:
        wanted(tenant=tenant)
    assert caught.value.violations[0].field == "user.tenant_id"


async def test_an_unknown_role_is_refused(house: House) -> None:
    with pytest.raises(ValidationError, match="admin, agent, developer, operator, viewer"):
        wanted("bob", "king")


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_nobody_gives_a_role_that_holds_more_than_their_own(house: House, role: str) -> None:
    held = frozenset({"user.write", "task.read", "work.lease", "certificate.issue"})
    giver = Actor(subject="user_1", tenant_id="default", permissions=held)
    if role == "agent":
        await house.directory.create(giver, wanted("bob", role), PASSWORD)
        return
    with pytest.raises(PermissionDenied, match="that you do not hold"):
        await house.directory.create(giver, wanted("bob", role), PASSWORD)


async def test_an_admin_cannot_make_an_operator(house: House) -> None:
    admin = await house.actor("ann", "admin")
    with pytest.raises(PermissionDenied, match=r"tenant\.any"):
        await house.directory.create(admin, wanted("bob", "operator"), PASSWORD)
    bob = await house.add("bob", "viewer")
    with pytest.raises(PermissionDenied, match=r"tenant\.any"):
        await house.directory.update(admin, bob.user_id, roles=frozenset({"operator"}))


async def test_only_an_operator_adds_users_to_another_tenant(house: House) -> None:
    admin, operator = await house.actor("ann", "admin"), await house.actor("op", "operator")
    with pytest.raises(PermissionDenied, match=r"tenant\.any"):
        await house.directory.create(admin, wanted("bob", "viewer", tenant="acme"), PASSWORD)
    user = await house.directory.create(operator, wanted("bob", "viewer", tenant="acme"), PASSWORD)
    assert user.spec.tenant_id == "acme"


async def test_a_weak_password_is_refused_when_adding(house: House) -> None:
    admin = await house.actor("ann", "admin")
    with pytest.raises(ValidationError):
        await house.directory.create(admin, wanted("bob", "viewer"), "Password123!")
    assert await house.users.find_by_name("bob") is None


async def test_a_repeated_creation_returns_the_first_user(house: House) -> None:
    admin = await house.actor("ann", "admin")
    first = await house.directory.create(admin, wanted("bob", "viewer"), PASSWORD, request_id="r1")
    assert await house.directory.create(admin, wanted("bob", "viewer"), PASSWORD, request_id="r1") == first


async def test_a_request_id_reused_with_another_body_or_password_is_refused(house: House) -> None:
    admin = await house.actor("ann", "admin")
    await house.directory.create(admin, wanted("bob", "viewer"), PASSWORD, request_id="r1")
    with pytest.raises(AlreadyExists):
        await house.directory.create(admin, wanted("bob", "agent"), PASSWORD, request_id="r1")
    with pytest.raises(AlreadyExists):
        await house.directory.create(admin, wanted("bob", "viewer"), "another good one 7", request_id="r1")


@pytest.mark.parametrize("request_id", ["x" * 129, "nul\0"])
async def test_a_request_id_that_cannot_be_is_refused(house: House, request_id: str) -> None:
    admin = await house.actor("ann", "admin")
    with pytest.raises(ValidationError):
        await house.directory.create(admin, wanted("bob", "viewer"), PASSWORD, request_id=request_id)


# ---------------------------------------------------------------- reading, changing, removing


async def test_somebody_of_another_tenant_is_not_found_except_by_operators(house: House) -> None:
    admin, operator = await house.actor("ann", "admin"), await house.actor("op", "operator")
    stranger = await house.add("eve", "viewer", tenant="acme")
    with pytest.raises(UserNotFound):
        await house.directory.get(admin, stranger.user_id)
    with pytest.raises(UserNotFound):
        await house.directory.update(admin, stranger.user_id, disabled=True)
    with pytest.raises(UserNotFound):
        await house.directory.delete(admin, stranger.user_id)
    assert await house.directory.get(operator, stranger.user_id) == stranger
    assert stranger not in await house.directory.list_newest(operator, limit=99, before=None)


@pytest.mark.parametrize("user_id", ["", "user_", "nul\0", "key_" + "0" * 23, "user_" + "0" * 23])
async def test_an_id_that_nobody_has_is_not_found(house: House, user_id: str) -> None:
    admin = await house.actor("ann", "admin")
    with pytest.raises(UserNotFound):
        await house.directory.get(admin, user_id)


async def test_only_what_is_given_changes(house: House) -> None:
    admin, bob = await house.actor("ann", "admin"), await house.add("bob", "viewer")
    off = await house.directory.update(admin, bob.user_id, disabled=True)
    assert (off.spec.disabled, off.spec.roles) == (True, {"viewer"})
    moved = await house.directory.update(admin, bob.user_id, roles=frozenset({"agent"}))
    assert (moved.spec.disabled, moved.spec.roles) == (True, {"agent"})
    with pytest.raises(ValidationError):
        await house.directory.update(admin, bob.user_id, roles=frozenset({"king"}))


async def test_an_admin_cannot_disable_or_remove_an_operator(house: House) -> None:
    admin, operator = await house.actor("ann", "admin"), await house.add("op", "operator")
    with pytest.raises(PermissionDenied):
        await house.directory.update(admin, operator.user_id, disabled=True)
    with pytest.raises(PermissionDenied):
        await house.directory.delete(admin, operator.user_id)
    assert await house.users.find(operator.user_id) == operator


async def test_the_last_admin_stays(house: House) -> None:
    ann = await house.add("ann", "admin")
    await house.add("far", "admin", tenant="acme")
    actor = acting(ann)
    with pytest.raises(LastAdmin, match="make another one first"):
        await house.directory.delete(actor, ann.user_id)
    with pytest.raises(LastAdmin):
        await house.directory.update(actor, ann.user_id, disabled=True)
    with pytest.raises(LastAdmin):
        await house.directory.update(actor, ann.user_id, roles=frozenset({"viewer"}))
    await house.add("bob", "admin")
    await house.directory.delete(actor, ann.user_id)
    assert await house.users.find(ann.user_id) is None


async def test_a_disabled_admin_may_go_although_no_other_works(house: House) -> None:
    operator = await house.actor("op", "operator")
    off = await house.add("ann", "admin")
    off = await house.users.change(
        off.user_id, "default", lambda user, _: user.change(roles=None, disabled=True, other_admins=1)
    )
    await house.directory.delete(operator, off.user_id)
    assert await house.users.find(off.user_id) is None


# ---------------------------------------------------------------- own password


async def test_a_person_changes_their_own_password(house: House) -> None:
    ann = await house.add("ann", "viewer")
    await house.directory.change_password(acting(ann), PASSWORD, "another good one 7", ORIGIN)
    changed = await house.users.get(ann.user_id, "default")
    assert (await house.hasher.verify("another good one 7", changed.password_hash)).matches


async def test_a_wrong_current_password_counts_as_a_guess(house: House) -> None:
    ann = acting(await house.add("ann", "viewer"))
    for _ in range(5):
        with pytest.raises(WrongPassword):
            await house.directory.change_password(ann, "wrong", "another good one 7", ORIGIN)
    with pytest.raises(TooManyFailures) as caught:
        await house.directory.change_password(ann, PASSWORD, "another good one 7", ORIGIN)
    house.clock.forward(caught.value.retry_after or timedelta(0))
    await house.directory.change_password(ann, PASSWORD, "another good one 7", ORIGIN)


@pytest.mark.parametrize("new", [PASSWORD, "too short", "ann and an otter", "Password123!"])
async def test_a_new_password_must_be_new_and_good(house: House, new: str) -> None:
    ann = acting(await house.add("ann", "viewer"))
    with pytest.raises(ValidationError) as caught:
        await house.directory.change_password(ann, PASSWORD, new, ORIGIN)
    assert caught.value.violations[0].field == "new_password"


async def test_a_program_cannot_change_a_password(house: House) -> None:
    program = Actor(subject=new_id("key"), tenant_id="default", permissions=PERMISSIONS)
    with pytest.raises(PermissionDenied):
        await house.directory.change_password(program, PASSWORD, "another good one 7", ORIGIN)


# ---------------------------------------------------------------- the first admin


class Drawer:
    """Where the password is kept."""

    def __init__(self) -> None:
        self.passwords: list[str] = []

    async def keep(self, password: str) -> None:
        self.passwords.append(password)


async def test_a_fresh_stack_gets_an_admin_with_every_permission(house: House) -> None:
    drawer = Drawer()
    first = FirstAdmin(house.users, house.hasher, drawer.keep, house.clock, new_id)
    assert await first.ensure()
    assert not await first.ensure()
    admin = await house.users.find_by_name("admin")
    assert admin is not None
    assert (admin.spec.tenant_id, admin.permissions) == ("default", PERMISSIONS)
    [password] = drawer.passwords
    assert (await house.hasher.verify(password, admin.password_hash)).matches


async def test_resetting_mends_the_admin_and_clears_the_lock(house: House) -> None:
    drawer = Drawer()
    first = FirstAdmin(house.users, house.hasher, drawer.keep, house.clock, new_id)
    await first.ensure()
    admin = await house.users.find_by_name("admin")
    assert admin is not None
    await house.users.change(
        admin.user_id,
        "default",
        lambda user, _: user.change(roles=frozenset({"viewer"}), disabled=True, other_admins=1),
    )
    for _ in range(9):
        await house.lockout.failed("admin", "")
    await first.reset(house.lockout)
    mended = await house.users.find_by_name("admin")
    assert mended is not None
    assert (mended.user_id, mended.permissions, mended.spec.disabled) == (admin.user_id, PERMISSIONS, False)
    assert (await house.hasher.verify(drawer.passwords[-1], mended.password_hash)).matches
    await house.lockout.admit("admin", "")


async def test_resetting_adds_an_admin_who_was_removed(house: House) -> None:
    drawer = Drawer()
    await house.add("ann", "viewer")
    await FirstAdmin(house.users, house.hasher, drawer.keep, house.clock, new_id).reset(house.lockout)
    admin = await house.users.find_by_name("admin")
    assert admin is not None
    assert (await house.hasher.verify(drawer.passwords[-1], admin.password_hash)).matches
