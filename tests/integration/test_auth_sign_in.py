"""Signing in, refreshing, signing out; guessing is slowed down."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from automesh.auth.v1 import token_service_pb2
from automesh.storage.postgres import ENGINE
from automesh.testing.mesh import in_process_mesh
from automesh.testing.tokens import TokenMint
from services.auth.app import bounds
from services.auth.pki.layout import Layout
from tests.integration.auth_house import LIMIT_S, PASSWORD, AuthMint, House, make_parts, refresh, refused, whoami

pytestmark = pytest.mark.postgres


async def test_the_first_admin_signs_in_with_the_password_in_the_file(house: House) -> None:
    pair = await house.login()
    assert pair.token_type == "Bearer"
    assert pair.expires_in.seconds == 300
    me = await whoami(house, pair.access_token)
    assert (me.name, me.tenant_id, list(me.roles)) == ("admin", "default", ["admin", "operator"])
    assert "tenant.any" in me.permissions
    assert Layout(house.folder).admin_password.stat().st_mode & 0o777 == 0o600


async def test_tokens_are_signed_by_a_published_key(house: House) -> None:
    jwks = await (await house.tokens()).GetJwks(token_service_pb2.GetJwksRequest())
    assert [(key.kty, key.crv, key.use, key.alg) for key in jwks.keys] == [("EC", "P-256", "sig", "ES256")]


async def test_a_wrong_password_and_an_unknown_name_are_answered_alike(house: House) -> None:
    answers = []
    for name in ("admin", "nobody"):
        with refused("UNAUTHENTICATED", "BAD_CREDENTIALS") as seen:
            await house.login(name, "wrong")
        answers.append((seen[0].message, dict(seen[0].metadata)))
    assert answers[0] == answers[1]


async def test_twenty_refreshes_of_one_token_at_once_give_one_successor(house: House) -> None:
    first = await house.login()
    async with asyncio.timeout(LIMIT_S):
        pairs = await asyncio.gather(*(refresh(house, first.refresh_token) for _ in range(20)))
    [successor] = {pair.refresh_token for pair in pairs}
    assert successor != first.refresh_token
    assert (await refresh(house, successor)).refresh_token not in (first.refresh_token, successor)


async def test_signing_out_ends_the_whole_family(house: House) -> None:
    first = await house.login()
    second = await refresh(house, first.refresh_token)
    logout = token_service_pb2.LogoutRequest(refresh_token=second.refresh_token)
    await (await house.tokens()).Logout(logout)
    for text in (first.refresh_token, second.refresh_token):
        with refused("UNAUTHENTICATED", "BAD_REFRESH_TOKEN"):
            await refresh(house, text)


async def test_a_refresh_token_reused_after_the_grace_revokes_the_family(house: House) -> None:
    first = await house.login()
    second = await refresh(house, first.refresh_token)
    await house.database.execute(
        "UPDATE refresh_token SET used_at = used_at - interval '11 s' WHERE used_at IS NOT NULL", tenant=ENGINE
    )
    for text in (first.refresh_token, second.refresh_token):
        with refused("UNAUTHENTICATED", "BAD_REFRESH_TOKEN"):
            await refresh(house, text)


async def test_a_lock_survives_a_restart_and_ends_by_itself(house: House) -> None:
    await house.add("ann", "viewer")
    for _ in range(5):
        with refused("UNAUTHENTICATED"):
            await house.login("ann", "wrong")
    reborn = make_parts(house.database, house.folder)
    await reborn.signing_keys.refresh()
    async with in_process_mesh("auth", bounds(reborn), mint=AuthMint(reborn)) as mesh:
        again = House(reborn, mesh, house.database, house.folder)
        with refused("RESOURCE_EXHAUSTED", "TOO_MANY_FAILURES") as seen:
            await again.login("ann", PASSWORD)
        assert seen[0].retry_after is not None
        assert timedelta(0) < seen[0].retry_after <= timedelta(seconds=1)
        await house.database.execute("UPDATE sign_in_failure SET last_at = last_at - interval '1 s'", tenant=None)
        assert (await again.login("ann", PASSWORD)).access_token
    reborn.hasher.close()


async def test_a_source_behind_the_gateway_is_slowed_down_and_the_gateway_is_not(house: House) -> None:
    for number in range(30):
        with refused("UNAUTHENTICATED"):
            await house.login(f"nobody{number}", "wrong", source="10.1.2.3")
    with refused("RESOURCE_EXHAUSTED", "TOO_MANY_FAILURES"):
        await house.login(source="10.1.2.3")
    assert (await house.login(source="10.1.2.4")).access_token
    assert (await house.login()).access_token


async def test_an_expired_and_a_forged_token_are_refused(house: House) -> None:
    past = int(datetime.now(UTC).timestamp()) - 60
    for token in (house.mesh.mint.mint(exp=past), TokenMint(key_id="sig_x").mint(["tenant.any"]), "rubbish"):
        with refused("UNAUTHENTICATED"):
            await whoami(house, token)
    with refused("UNAUTHENTICATED"):
        await whoami(house, "")
