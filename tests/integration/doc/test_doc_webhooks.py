"""Webhooks of spaces against a real HTTPS receiver: signed, in order, again and again, and at last switched off."""

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from automesh.core.webhooks import MAX_TRIES, sign
from automesh.doc.v1 import notification_service_pb2 as pb
from automesh.doc.v1 import space_pb2
from automesh.outbound.webhooks import open_sender
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import in_process_mesh
from automesh.testing.postgres import PostgresForTests
from automesh.testing.receiver import Receiver, receiving
from services.doc.engine.core import Outside
from services.doc.engine.engine import DocEngine
from services.doc.engine.options import Options
from tests.integration.doc.doc_house import ADMIN, Served, invalid, refused
from tests.integration.doc.doc_house_talk import notifications, say

pytestmark = pytest.mark.postgres
OWNER = (*ADMIN, "webhook.read", "webhook.write")


@dataclass
class Place:
    """Where replicas stand."""

    database: Database
    sealer: Sealer
    receiver: Receiver
    folder: Path


@pytest.fixture
async def place(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Place]:
    async with (
        receiving(tmp_path) as receiver,
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        yield Place(database, Sealer(Keyring.generate()), receiver, tmp_path)


@asynccontextmanager
async def replica(place: Place, name: str = "one", *, private: bool = True) -> AsyncGenerator[Served]:
    """A service that may send to the receiver."""
    allowed = [place.receiver.url("/") + (" private" if private else "")]
    folder = place.folder / name
    async with open_sender(
        allowed, setting="ALLOW", field="url", timeout_s=5.0, ca_file=place.receiver.ca_file
    ) as sender:
        outside = Outside(
            database=place.database,
            sealer=place.sealer,
            blobs=EncryptedBlobStore.open(place.folder / "blobs", place.sealer),
            fanout=LocalFanout(),
            sender=sender,
        )
        engine = DocEngine(outside, Options(scratch=folder, webhook_poll_s=0.05, search_engine="postgres"))
        async with engine.open() as bounds, in_process_mesh("doc", bounds) as mesh:
            yield Served(engine, mesh, folder, place.database)


@pytest.fixture
async def house(place: Place) -> AsyncIterator[Served]:
    async with replica(place) as served:
        await served.space()
        yield served


async def hooked(served: Served, url: str, *kinds: str) -> pb.CreateDocWebhookResponse:
    stub = await notifications(served, "root", *OWNER)
    return await stub.CreateDocWebhook(pb.CreateDocWebhookRequest(space="handbook", url=url, kinds=kinds))  # type: ignore[no-any-return]  # stubs of a channel have no type


async def listed(served: Served) -> pb.DocWebhook:
    stub = await notifications(served, "root", *OWNER)
    (hook,) = (await stub.ListDocWebhooks(pb.ListDocWebhooksRequest(space="handbook"))).webhooks
    return hook  # type: ignore[no-any-return]  # stubs of a channel have no type


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in receiver.heard]


def paths(receiver: Receiver) -> list[str]:
    """Of all changes, in the order in which they were told."""
    return [change["path"] for body in bodies(receiver) for change in body["data"].get("changes", ())]


async def test_changes_reach_the_receiver_signed(house: Served, place: Place) -> None:
    made = await hooked(house, place.receiver.url())
    page = await house.write()
    await place.receiver.changes.until(lambda: place.receiver.heard)
    heard = place.receiver.heard[0]
    secret = base64.b64decode(made.secret.removeprefix("whsec_"))
    signature = sign(secret, heard.headers["webhook-id"], int(heard.headers["webhook-timestamp"]), heard.body)
    assert heard.headers["webhook-signature"] == signature
    body = json.loads(heard.body)
    assert (body["type"], body["data"]["space"]) == ("document_changed", "handbook")
    (change,) = body["data"]["changes"]
    assert (change["document_id"], change["revision_id"], change["change"], change["path"]) == (
        page.document_id, page.head, "create", "start.md",
    )  # fmt: skip


async def test_a_webhook_is_sent_the_kinds_that_it_wants_and_never_what_was_said(house: Served, place: Place) -> None:
    await hooked(house, place.receiver.url(), "comment")
    page = await house.write()
    await say(house, "swordfish @bob", document_id=page.document_id)
    await place.receiver.changes.until(lambda: place.receiver.heard)
    (body,) = bodies(place.receiver)
    assert (body["type"], body["data"]["actor"], body["data"]["document_id"]) == ("comment", "ann", page.document_id)
    assert "swordfish" not in json.dumps(body)


async def test_deliveries_arrive_in_order_although_some_fail_first(house: Served, place: Place) -> None:
    await hooked(house, place.receiver.url())
    place.receiver.script += [500]
    await house.write("0.md")
    await place.receiver.changes.until(lambda: place.receiver.heard)
    for number in range(1, 6):
        await house.write(f"{number}.md")
    stored = "SELECT count(*) FROM doc_delivery"
    while await house.database.fetchval(stored, tenant=ENGINE) < 2:
        await house.engine.core.doorbell.wait(house.engine.core.doorbell.rung, 0.05)
    assert paths(place.receiver) == ["0.md"]  # what is behind the one that failed waits with it
    shown = await listed(house)
    assert shown.last_result.startswith("failed: ")
    assert shown.waiting >= 2
    await house.database.execute("UPDATE doc_delivery SET next_at = now()", tenant=ENGINE)
    await place.receiver.changes.until(lambda: paths(place.receiver)[-1] == "5.md")
    assert paths(place.receiver) == ["0.md", *(f"{number}.md" for number in range(6))]
    ids = [each.headers["webhook-id"] for each in place.receiver.heard]
    assert ids[0] == ids[1]  # the same delivery, to be told from a new one
    assert len(set(ids)) == len(ids) - 1


async def test_a_webhook_that_fails_for_a_day_is_switched_off_and_begins_again_where_it_was(
    house: Served, place: Place
) -> None:
    hook = (await hooked(house, place.receiver.url())).webhook
    place.receiver.script += [500] * 2
    await house.write("a.md")
    await place.receiver.changes.until(lambda: place.receiver.heard)
    await house.database.execute(
        "UPDATE doc_delivery SET attempts = $1, next_at = now(), claimed_until = NULL", MAX_TRIES - 1, tenant=ENGINE
    )
    await place.receiver.changes.until(lambda: len(place.receiver.heard) == 2)
    shown = await listed(house)
    while not shown.disabled_reason:
        await house.engine.core.doorbell.wait(house.engine.core.doorbell.rung, 0.05)
        shown = await listed(house)
    assert "500" in shown.disabled_reason
    await house.write("b.md")  # not kept for a webhook that is off
    stub = await notifications(house, "root", *OWNER)
    await stub.EnableDocWebhook(pb.EnableDocWebhookRequest(space="handbook", webhook_id=hook.webhook_id))
    await house.write("c.md")
    await place.receiver.changes.until(lambda: paths(place.receiver)[-1] == "c.md")
    assert paths(place.receiver)[:3] == ["a.md", "a.md", "a.md"]


async def test_a_delivery_survives_the_process_that_carried_it(place: Place) -> None:
    async with replica(place) as served:
        await served.space()
        await hooked(served, place.receiver.url("/hang"))
        await served.write("a.md")
        await place.receiver.changes.until(lambda: place.receiver.heard)
    # held by one that is gone; its hold has run out, and the receiver is well again
    await place.database.execute("UPDATE doc_webhook SET url = $1", place.receiver.url(), tenant=ENGINE)
    await place.database.execute("UPDATE doc_delivery SET claimed_until = now()", tenant=ENGINE)
    async with replica(place, "two"):
        await place.receiver.changes.until(lambda: len(place.receiver.heard) == 2)
    assert paths(place.receiver) == ["a.md", "a.md"]


async def test_urls_off_the_list_unknown_kinds_and_strangers_are_refused(house: Served, place: Place) -> None:
    stub = await notifications(house, "root", *OWNER)
    for url, kinds, field in (
        ("https://elsewhere.example/", (), "url"),
        ("ftp://x/", (), "url"),
        (place.receiver.url(), ("mention",), "kinds"),
        (place.receiver.url(), ("nothing",), "kinds"),
    ):
        error = await invalid(stub.CreateDocWebhook(pb.CreateDocWebhookRequest(space="handbook", url=url, kinds=kinds)))
        assert error.violations[0].field == field
    bob = await notifications(house, "bob")  # no owner of the space
    request = pb.CreateDocWebhookRequest(space="handbook", url=place.receiver.url())
    assert (await refused(bob.CreateDocWebhook(request))).kind == "forbidden"
    await house.space("secret", visibility=space_pb2.VISIBILITY_MEMBERS)
    assert (await refused(bob.ListDocWebhooks(pb.ListDocWebhooksRequest(space="secret")))).reason == "SPACE_NOT_FOUND"
    unknown = await refused(stub.EnableDocWebhook(pb.EnableDocWebhookRequest(space="handbook", webhook_id="hook_x")))
    assert unknown.reason == "DOC_WEBHOOK_NOT_FOUND"


async def test_an_address_on_a_private_network_is_not_called_without_the_operators_word(place: Place) -> None:
    async with replica(place, private=False) as served:
        await served.space()
        await hooked(served, place.receiver.url())
        await served.write("a.md")
        shown = await listed(served)
        while not shown.last_result:
            await served.engine.core.doorbell.wait(served.engine.core.doorbell.rung, 0.05)
            shown = await listed(served)
    assert "not on the public internet" in shown.last_result
    assert not place.receiver.heard


async def test_the_secret_is_sealed_and_a_removed_webhook_leaves_nothing(house: Served, place: Place) -> None:
    made = await hooked(house, place.receiver.url("/hang"))
    (row,) = await house.database.fetch("SELECT * FROM doc_webhook", tenant=ENGINE)
    assert base64.b64decode(made.secret.removeprefix("whsec_")) not in row["secret"]
    await house.write("a.md")
    await place.receiver.changes.until(lambda: place.receiver.heard)
    stub = await notifications(house, "root", *OWNER)
    await stub.DeleteDocWebhook(pb.DeleteDocWebhookRequest(space="handbook", webhook_id=made.webhook.webhook_id))
    assert await house.database.fetchval("SELECT count(*) FROM doc_delivery", tenant=ENGINE) == 0


async def test_a_webhook_whose_secret_is_spoiled_is_switched_off_and_holds_up_no_other(
    house: Served, place: Place
) -> None:
    spoiled = (await hooked(house, place.receiver.url("/spoiled"))).webhook.webhook_id
    await place.database.execute(
        "UPDATE doc_webhook SET secret = '\\x00' WHERE webhook_id = $1", spoiled, tenant=ENGINE
    )
    await hooked(house, place.receiver.url("/well"))
    await house.write("a.md")
    await place.receiver.changes.until(lambda: place.receiver.heard)
    assert [each.path for each in place.receiver.heard] == ["/well"]
    stub = await notifications(house, "root", *OWNER)
    hooks = (await stub.ListDocWebhooks(pb.ListDocWebhooksRequest(space="handbook"))).webhooks
    reasons = {each.webhook_id: each.disabled_reason for each in hooks}
    assert "make a new webhook" in reasons[spoiled]
