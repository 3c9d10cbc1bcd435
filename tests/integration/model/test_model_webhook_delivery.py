"""Webhooks against a real HTTPS receiver of this machine that behaves well or badly."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from automesh.core.webhooks import sign
from automesh.mesh.errors import from_rpc_error
from automesh.model.v1 import webhook_service_pb2 as pb
from automesh.outbound.webhooks import open_sender
from automesh.storage.postgres import ENGINE
from automesh.storage.sealing import Keyring
from automesh.testing.postgres import PostgresForTests
from automesh.testing.receiver import Receiver, receiving
from services.model.domain.webhooks.events import RUN_COMPLETED, Event
from tests.integration.model.registry_house import TENANT, RegistryHouse, registry_house

pytestmark = pytest.mark.postgres


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncGenerator[Receiver]:
    async with receiving(tmp_path) as made:
        yield made


@pytest.fixture
async def dsn(postgres: PostgresForTests) -> AsyncIterator[str]:
    async with postgres.fresh({"model": "services.model.migrations"}) as dsn:
        yield dsn


@asynccontextmanager
async def replica(
    dsn: str, receiver: Receiver, tmp_path: Path, keyring: Keyring, *, private: bool = True, timeout_s: float = 5.0
) -> AsyncGenerator[RegistryHouse]:
    allowed = [receiver.url("/") + (" private" if private else "")]
    async with (
        open_sender(
            allowed, setting="ALLOW", field="webhook.url", timeout_s=timeout_s, ca_file=receiver.ca_file
        ) as sender,
        registry_house(dsn, tmp_path, keyring=keyring, sender=sender) as house,
    ):
        yield house


@pytest.fixture
async def house(dsn: str, receiver: Receiver, tmp_path: Path) -> AsyncIterator[RegistryHouse]:
    async with replica(dsn, receiver, tmp_path, Keyring.generate()) as house:
        yield house


async def hooked(house: RegistryHouse, url: str, *events: str) -> pb.CreateWebhookResponse:
    request = pb.CreateWebhookRequest(webhook=pb.Webhook(url=url, events=events))
    return await (await house.webhooks()).CreateWebhook(request)


async def deliveries(house: RegistryHouse, webhook_id: str) -> list[pb.Delivery]:
    answer = await (await house.webhooks()).ListDeliveries(pb.ListDeliveriesRequest(webhook_id=webhook_id))
    return list(answer.deliveries)


async def tell(house: RegistryHouse, run_id: str = "run_1") -> None:
    await house.engine.deliveries.announce(TENANT, Event(RUN_COMPLETED, {"run_id": run_id}))


async def settled(house: RegistryHouse, webhook_id: str, state: str, attempts: int = 1) -> pb.Delivery:
    """The only delivery, once it stands so."""
    async with asyncio.timeout(20):
        while True:
            [found] = await deliveries(house, webhook_id)
            if (found.state, found.attempts) == (state, attempts) and (state != "PENDING" or found.last_error):
                return found


async def test_an_event_arrives_signed_with_the_secret_that_was_shown_once(
    house: RegistryHouse, receiver: Receiver
) -> None:
    made = await hooked(house, receiver.url())
    listed = (await (await house.webhooks()).ListWebhooks(pb.ListWebhooksRequest())).webhooks
    assert list(listed) == [made.webhook]
    await house.trained()
    await receiver.changes.until(lambda: receiver.heard)
    [heard] = receiver.heard
    assert made.secret.startswith("whsec_")
    secret = base64.b64decode(made.secret.removeprefix("whsec_"))
    sent_at = int(heard.headers["webhook-timestamp"])
    assert heard.headers["webhook-signature"] == sign(secret, heard.headers["webhook-id"], sent_at, heard.body)
    told = json.loads(heard.body)
    assert (told["type"], told["data"]["name"], told["data"]["version"]) == ("model.version_created", "prices", 1)
    delivered = await settled(house, made.webhook.webhook_id, "DELIVERED")
    assert (delivered.delivery_id, delivered.last_status) == (heard.headers["webhook-id"], 200)
    assert not delivered.HasField("next_time")


async def test_a_secret_is_not_in_the_database_as_it_is(house: RegistryHouse, receiver: Receiver) -> None:
    made = await hooked(house, receiver.url())
    secret = base64.b64decode(made.secret.removeprefix("whsec_"))
    stored = await house.database.fetchval("SELECT secret FROM webhook", tenant=ENGINE)
    assert secret not in stored


async def test_a_receiver_that_fails_hears_of_it_again_with_the_same_id(
    house: RegistryHouse, receiver: Receiver
) -> None:
    made = await hooked(house, receiver.url())
    receiver.script = [500]
    await tell(house)
    waiting = await settled(house, made.webhook.webhook_id, "PENDING")
    assert (waiting.last_status, waiting.last_error) == (500, "the receiver answered 500")
    assert waiting.HasField("next_time")
    assert len(receiver.heard) == 1
    await house.backdate(5)
    await settled(house, made.webhook.webhook_id, "DELIVERED", attempts=2)
    first, second = receiver.heard
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)


async def test_a_redirect_is_not_followed(house: RegistryHouse, receiver: Receiver) -> None:
    made = await hooked(house, receiver.url())
    receiver.script = [302]
    await tell(house)
    waiting = await settled(house, made.webhook.webhook_id, "PENDING")
    assert (waiting.last_status, "redirects are not followed" in waiting.last_error) == (302, True)
    assert [heard.path for heard in receiver.heard] == ["/hook"]


async def test_a_receiver_that_hangs_is_left_and_holds_up_no_other(
    dsn: str, receiver: Receiver, tmp_path: Path
) -> None:
    async with replica(dsn, receiver, tmp_path, Keyring.generate(), timeout_s=1.0) as house:
        hanging = await hooked(house, receiver.url("/hang"))
        quick = await hooked(house, receiver.url("/quick"))
        for number in range(3):
            await tell(house, f"run_{number}")

        def all_but_the_hanging_ones() -> bool:
            return [heard.path for heard in receiver.heard].count("/quick") == 3

        await receiver.changes.until(all_but_the_hanging_ones)
        assert {each.state for each in await deliveries(house, hanging.webhook.webhook_id)} == {"PENDING"}
        async with asyncio.timeout(20):
            while not any(each.last_error for each in await deliveries(house, hanging.webhook.webhook_id)):
                pass
        failed = [each for each in await deliveries(house, hanging.webhook.webhook_id) if each.last_error]
        assert (failed[0].last_status, "took too long" in failed[0].last_error) == (0, True)
        assert len(await deliveries(house, quick.webhook.webhook_id)) == 3


async def test_an_address_inside_is_refused_unless_the_operator_opened_it(
    dsn: str, receiver: Receiver, tmp_path: Path
) -> None:
    async with replica(dsn, receiver, tmp_path, Keyring.generate(), private=False) as house:
        made = await hooked(house, receiver.url())
        stub = await house.webhooks()
        tried = (await stub.TestWebhook(pb.TestWebhookRequest(webhook_id=made.webhook.webhook_id))).delivery
        assert (tried.state, tried.attempts, tried.last_status) == ("PENDING", 1, 0)
        assert "not on the public internet" in tried.last_error
        assert receiver.heard == []


async def test_a_url_off_the_allow_list_makes_no_webhook(house: RegistryHouse, receiver: Receiver) -> None:
    for url in ("https://elsewhere.example/", f"http://localhost:{receiver.port}/hook", "https://localhost/hook"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await hooked(house, url)
        error = from_rpc_error(caught.value)
        assert (caught.value.code(), error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "URL_NOT_ALLOWED")


async def test_a_test_arrives_although_the_webhook_wants_other_events(house: RegistryHouse, receiver: Receiver) -> None:
    made = await hooked(house, receiver.url(), "run.failed")
    stub = await house.webhooks()
    tried = (await stub.TestWebhook(pb.TestWebhookRequest(webhook_id=made.webhook.webhook_id))).delivery
    assert (tried.event, tried.state, tried.last_status) == ("webhook.test", "DELIVERED", 200)
    assert json.loads(receiver.heard[0].body)["type"] == "webhook.test"


async def test_what_waits_survives_the_process_and_is_delivered_by_the_next(
    dsn: str, receiver: Receiver, tmp_path: Path
) -> None:
    keyring = Keyring.generate()
    receiver.script = [500]
    async with replica(dsn, receiver, tmp_path, keyring) as house:
        made = await hooked(house, receiver.url())
        await tell(house)
        await settled(house, made.webhook.webhook_id, "PENDING")
        await house.backdate(4)
    async with replica(dsn, receiver, tmp_path, keyring) as house:
        await house.backdate(5)
        await settled(house, made.webhook.webhook_id, "DELIVERED", attempts=2)
    first, second = receiver.heard
    assert first.body == second.body


async def test_of_two_replicas_one_delivers(dsn: str, receiver: Receiver, tmp_path: Path) -> None:
    keyring = Keyring.generate()
    async with (
        replica(dsn, receiver, tmp_path, keyring) as first,
        replica(dsn, receiver, tmp_path / "second", keyring),
    ):
        made = await hooked(first, receiver.url())
        for number in range(10):
            await tell(first, f"run_{number}")
        await receiver.changes.until(lambda: len(receiver.heard) >= 10)
        async with asyncio.timeout(20):
            while any(each.state == "PENDING" for each in await deliveries(first, made.webhook.webhook_id)):
                pass
    runs = sorted(json.loads(heard.body)["data"]["run_id"] for heard in receiver.heard)
    assert runs == sorted(f"run_{number}" for number in range(10))


async def test_a_deleted_webhook_hears_nothing_and_another_tenants_is_not_there(
    house: RegistryHouse, receiver: Receiver
) -> None:
    made = await hooked(house, receiver.url())
    theirs = await house.webhooks("globex")
    for call in (
        theirs.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made.webhook.webhook_id)),
        theirs.ListDeliveries(pb.ListDeliveriesRequest(webhook_id=made.webhook.webhook_id)),
        theirs.TestWebhook(pb.TestWebhookRequest(webhook_id=made.webhook.webhook_id)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert list((await theirs.ListWebhooks(pb.ListWebhooksRequest())).webhooks) == []
    await (await house.webhooks()).DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made.webhook.webhook_id))
    await tell(house)
    other = await hooked(house, receiver.url("/other"))
    await tell(house, "run_2")
    await settled(house, other.webhook.webhook_id, "DELIVERED")
    assert [heard.path for heard in receiver.heard] == ["/other"]


async def test_the_same_request_makes_one_webhook_with_one_secret(house: RegistryHouse, receiver: Receiver) -> None:
    stub = await house.webhooks()
    request = pb.CreateWebhookRequest(webhook=pb.Webhook(url=receiver.url()), request_id="once")
    assert await stub.CreateWebhook(request) == await stub.CreateWebhook(request)
    request.webhook.description = "another one"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CreateWebhook(request)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
