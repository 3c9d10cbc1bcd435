"""Replicas that start at once, what is forgotten, and that no secret is left anywhere."""

import asyncio
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from automesh.auth.v1 import api_key_service_pb2, token_service_pb2, user_service_pb2
from automesh.storage.postgres import ENGINE, Database
from automesh.telemetry.logs import configure_logging
from automesh.testing.databases import OpenDatabase
from services.auth.app import MIGRATIONS, SCHEMA
from services.auth.pki.init import initialise
from services.auth.pki.layout import Layout, Plan
from tests.integration.auth_house import LIMIT_S, PASSWORD, House, make_parts, refresh, refused

pytestmark = pytest.mark.postgres


async def test_two_replicas_starting_at_once_agree(open_database: OpenDatabase, tmp_path: Path) -> None:
    initialise(Plan(layout=Layout(tmp_path), trust_domain="automesh.local", environment="dev"), datetime.now(UTC))
    database = await open_database(SCHEMA, MIGRATIONS)
    replicas = [make_parts(database, tmp_path) for _ in range(3)]
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(replica.signing_keys.refresh() for replica in replicas))
        made = await asyncio.gather(*(replica.first_admin.ensure() for replica in replicas))
    assert sorted(made) == [False, False, True]
    assert len({replica.signing_keys.active.key_id for replica in replicas}) == 1
    admin = await replicas[0].users.find_by_name("admin")
    assert admin is not None
    password = Layout(tmp_path).admin_password.read_text().strip()
    assert (await replicas[0].hasher.verify(password, admin.password_hash)).matches
    for replica in replicas:
        replica.hasher.close()


async def test_sweeping_forgets_what_is_over_and_nothing_else(house: House) -> None:
    pair = await house.login()
    with refused("UNAUTHENTICATED"):
        await house.login("ann", "wrong")
    await house.parts.sweep()
    assert await house.database.fetchval("SELECT count(*) FROM sign_in_failure", tenant=None) == 1
    await house.database.execute("UPDATE sign_in_failure SET last_at = last_at - interval '2 h'", tenant=None)
    await house.parts.sweep()
    assert await house.database.fetchval("SELECT count(*) FROM sign_in_failure", tenant=None) == 0
    assert (await refresh(house, pair.refresh_token)).access_token


async def dump(database: Database) -> str:
    """Every value of every table, as text; binary ones in hex and as they are."""
    tables = await database.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = $1", database.schema, tenant=ENGINE
    )
    rows = [
        row
        for table in tables
        for row in await database.fetch(f'SELECT * FROM "{table["table_name"]}"', tenant=ENGINE)  # noqa: S608 - ours
    ]
    return "\n".join(
        f"{value.hex()} {value!r}" if isinstance(value, bytes) else str(value) for row in rows for value in row.values()
    )


async def test_no_secret_is_found_in_the_database_or_in_the_logs(house: House) -> None:
    logs = io.StringIO()
    configure_logging("auth", "debug", stream=logs)
    first = await house.login()
    second = await refresh(house, first.refresh_token)
    token = await house.signed_in("dev", "developer")
    keys = await house.keys(token)
    made = await keys.CreateApiKey(
        api_key_service_pb2.CreateApiKeyRequest(api_key=api_key_service_pb2.ApiKey(name="ci"))
    )
    exchange = token_service_pb2.ExchangeApiKeyRequest(api_key=made.secret)
    access = (await (await house.tokens()).ExchangeApiKey(exchange)).tokens.access_token
    for name, password in (("dev", "a-wrong-secret"), ("typed-secret-as-name", PASSWORD)):
        with refused("UNAUTHENTICATED"):
            await house.login(name, password)
    change = user_service_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password="another good one 7")
    await (await house.users(token)).ChangePassword(change)
    await house.parts.sessions.logout(second.refresh_token, origin_of_test())
    private = house.parts.signing_keys.active.private_pem.decode().splitlines()[1]
    secrets = [
        *(house.password, PASSWORD, "a-wrong-secret", "another good one 7", "typed-secret-as-name"),
        *(first.refresh_token, second.refresh_token, first.access_token, token, access),
        *(made.secret, made.secret.split("_", 2)[2], private),
    ]
    written = await dump(house.database)
    assert len(written) > 1000
    for secret in secrets:
        assert secret not in written
        assert secret not in logs.getvalue()
        assert secret not in repr(house.mesh.audited)
        assert secret.encode().hex() not in written
    assert re.search(r"\$argon2id\$", written)


def origin_of_test() -> Any:
    from services.auth.domain.actor import Origin

    return Origin(workload="spiffe://automesh.local/ns/dev/sa/gateway")
