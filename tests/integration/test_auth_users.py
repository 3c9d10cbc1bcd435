"""Users, and the walls between tenants."""

import asyncio
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from automesh.auth.v1 import user_service_pb2
from automesh.storage.postgres import ENGINE
from tests.integration.auth_house import PASSWORD, House, refresh, refused

pytestmark = pytest.mark.postgres


# ---------------------------------------------------------------- users


async def test_a_user_is_added_read_listed_changed_and_removed(house: House) -> None:
    token = await house.admin()
    bob = await house.add("bob", "developer", token=token)
    users = await house.users(token)
    assert bob.user_id.startswith("user_")
    assert (bob.username, bob.tenant_id, list(bob.roles), bob.disabled) == ("bob", "default", ["developer"], False)
    got = await users.GetUser(user_service_pb2.GetUserRequest(user_id=bob.user_id))
    assert got.user == bob
    listed = await users.ListUsers(user_service_pb2.ListUsersRequest())
    assert [user.username for user in listed.users] == ["bob", "admin"]
    changed = await users.UpdateUser(
        user_service_pb2.UpdateUserRequest(
            user_id=bob.user_id,
            user=user_service_pb2.User(roles=["viewer"], disabled=True),
            update_mask=FieldMask(paths=["roles"]),
        )
    )
    assert (list(changed.user.roles), changed.user.disabled) == (["viewer"], False)
    await users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=bob.user_id))
    with refused("NOT_FOUND", "USER_NOT_FOUND"):
        await users.GetUser(user_service_pb2.GetUserRequest(user_id=bob.user_id))


async def test_pages_of_users_end_and_hold_each_once(house: House) -> None:
    token = await house.admin()
    for number in range(5):
        await house.add(f"user{number}", "viewer", token=token)
    users, seen, page = await house.users(token), [], ""
    while True:
        response = await users.ListUsers(user_service_pb2.ListUsersRequest(page_size=2, page_token=page))
        seen += [user.username for user in response.users]
        page = response.next_page_token
        if not page:
            break
    assert seen == ["user4", "user3", "user2", "user1", "user0", "admin"]


@pytest.mark.parametrize("page_token", ["x", "WyJcdTAwMDAiLCIyYmIiXQ", "é"])
async def test_a_page_token_that_was_not_given_out_is_refused(house: House, page_token: str) -> None:
    with refused("INVALID_ARGUMENT"):
        request = user_service_pb2.ListUsersRequest(page_token=page_token)
        await (await house.users(await house.admin())).ListUsers(request)


async def test_a_creation_may_be_repeated(house: House) -> None:
    users = await house.users(await house.admin())

    def request(**more: Any) -> user_service_pb2.CreateUserRequest:
        user = user_service_pb2.User(username=more.pop("username", "bob"), roles=["viewer"])
        return user_service_pb2.CreateUserRequest(user=user, request_id="r1", **{"password": PASSWORD, **more})

    first, second = await users.CreateUser(request()), await users.CreateUser(request())
    assert first == second
    with refused("ALREADY_EXISTS"):
        await users.CreateUser(request(username="eve"))
    with refused("ALREADY_EXISTS"):
        await users.CreateUser(request(password="another good one 7"))
    with refused("ALREADY_EXISTS", "USERNAME_TAKEN"):
        await users.CreateUser(
            user_service_pb2.CreateUserRequest(user=user_service_pb2.User(username="bob"), password=PASSWORD)
        )


@pytest.mark.parametrize("path", ["username", "tenant_id", "password"])
async def test_nothing_but_roles_and_disabled_can_be_changed(house: House, path: str) -> None:
    token = await house.admin()
    bob = await house.add("bob", "viewer", token=token)
    request = user_service_pb2.UpdateUserRequest(user_id=bob.user_id, update_mask=FieldMask(paths=[path]))
    with refused("INVALID_ARGUMENT"):
        await (await house.users(token)).UpdateUser(request)


async def test_a_disabled_user_can_neither_sign_in_nor_refresh(house: House) -> None:
    token = await house.admin()
    bob = await house.add("bob", "viewer", token=token)
    pair = await house.login("bob", PASSWORD)
    request = user_service_pb2.UpdateUserRequest(
        user_id=bob.user_id, user=user_service_pb2.User(disabled=True), update_mask=FieldMask(paths=["disabled"])
    )
    await (await house.users(token)).UpdateUser(request)
    with refused("UNAUTHENTICATED", "BAD_CREDENTIALS"):
        await house.login("bob", PASSWORD)
    with refused("UNAUTHENTICATED", "BAD_REFRESH_TOKEN"):
        await refresh(house, pair.refresh_token)


async def test_two_admins_cannot_remove_each_other_at_once(house: House) -> None:
    operator = await house.admin()
    one = await house.add("one", "admin", tenant="acme", token=operator)
    two = await house.add("two", "admin", tenant="acme", token=operator)
    users = await house.users(operator)
    results = await asyncio.gather(
        *(users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=each.user_id)) for each in (one, two)),
        return_exceptions=True,
    )
    [error] = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_changing_the_password_signs_out_everywhere(house: House) -> None:
    await house.add("bob", "viewer")
    pair = await house.login("bob", PASSWORD)
    request = user_service_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password="another good one 7")
    await (await house.users(pair.access_token)).ChangePassword(request)
    with refused("UNAUTHENTICATED"):
        await refresh(house, pair.refresh_token)
    with refused("UNAUTHENTICATED"):
        await house.login("bob", PASSWORD)
    assert (await house.login("bob", "another good one 7")).access_token


async def test_a_developer_cannot_touch_users(house: House) -> None:
    token = await house.signed_in("dev", "developer")
    with refused("PERMISSION_DENIED"):
        await house.add("eve", "viewer", token=token)
    with refused("PERMISSION_DENIED"):
        await (await house.users(token)).ListUsers(user_service_pb2.ListUsersRequest())


# ---------------------------------------------------------------- tenants


async def test_tenants_do_not_see_each_other(house: House) -> None:
    ours = await house.add("bob", "viewer")
    theirs = await house.signed_in("eve", "admin", tenant="acme")
    users = await house.users(theirs)
    for call in (
        users.GetUser(user_service_pb2.GetUserRequest(user_id=ours.user_id)),
        users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=ours.user_id)),
        users.UpdateUser(user_service_pb2.UpdateUserRequest(user_id=ours.user_id)),
    ):
        with refused("NOT_FOUND", "USER_NOT_FOUND"):
            await call
    listed = await users.ListUsers(user_service_pb2.ListUsersRequest())
    assert [user.username for user in listed.users] == ["eve"]
    with refused("PERMISSION_DENIED"):
        await house.add("spy", "viewer", tenant="default", token=theirs)


async def test_the_database_itself_keeps_tenants_apart(house: House) -> None:
    await house.signed_in("eve", "admin", tenant="acme")
    await house.add("bob", "viewer")
    for table in ("user_account", "refresh_family", "refresh_token", "audit_event", "tenant"):
        count = f"SELECT count(*) FROM {table}"  # noqa: S608 - names of the lines above
        everything = await house.database.fetchval(count, tenant=ENGINE)
        assert everything > 0
        assert await house.database.fetchval(count, tenant=None) == 0
        assert 0 < await house.database.fetchval(count, tenant="acme") < everything
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await house.database.execute("INSERT INTO tenant VALUES ('smuggled', now())", tenant="acme")
