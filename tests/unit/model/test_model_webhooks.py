"""Webhooks: which are allowed, how they are signed, when they are tried again, and that none holds up the others."""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from automesh.core.errors import ValidationError
from automesh.core.ids import new_id
from automesh.core.webhooks import MAX_TRIES, WAITS, Answer, Delivery, State, outcome_of, shown, sign
from automesh.outbound.deliveries import Deliveries
from automesh.outbound.webhooks import NoSender, open_sender
from services.model.domain.registry.errors import WebhookNotFound
from services.model.domain.webhooks.courier import Courier, Webhooks
from services.model.domain.webhooks.events import RUN_FAILED, Event
from services.model.domain.webhooks.webhook import NewWebhook, Webhook
from services.model.fakes.webhook_store import FakeSender, FakeWebhookStore

TENANT, LIMIT_S = "acme", 10.0
SLOW, QUICK = "https://slow.example/", "https://quick.example/"


class House:
    """Webhooks over fakes, with a clock of their own."""

    def __init__(self, sender: FakeSender | None = None) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.store = FakeWebhookStore(lambda: self.now)
        self.sender = sender or FakeSender(refused=["https://off.example/"])
        self.webhooks = Webhooks(self.store, self.sender, make_id=new_id)
        self.courier = Courier(self.store, self.sender, clock=lambda: self.now)

    async def hook(self, url: str = QUICK) -> tuple[Webhook, bytes]:
        return await self.webhooks.create(TENANT, NewWebhook(url=url))

    async def tell(self) -> None:
        await self.store.announce(TENANT, Event(RUN_FAILED, {"run_id": "run_1"}))

    async def deliveries(self, hook: Webhook) -> list[Delivery]:
        return list((await self.webhooks.deliveries(TENANT, hook.webhook_id, limit=50, before=None))[0])


def test_a_signature_is_that_of_standard_webhooks() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert shown(secret) == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_eight_tries_with_growing_waits_take_about_a_day() -> None:
    assert MAX_TRIES == 8
    assert list(WAITS) == sorted(WAITS)
    assert timedelta(hours=23) < sum(WAITS, timedelta()) < timedelta(hours=25)


@pytest.mark.parametrize(
    ("answer", "attempt", "state", "error"),
    [
        (Answer(200), 1, State.DELIVERED, ""),
        (Answer(204), 8, State.DELIVERED, ""),
        (Answer(500), 1, State.PENDING, "the receiver answered 500"),
        (Answer(404), 7, State.PENDING, "the receiver answered 404"),
        (Answer(404), 8, State.FAILED, "the receiver answered 404"),
        (Answer(302), 1, State.PENDING, "redirects are not followed"),
        (Answer(error="it took too long"), 1, State.PENDING, "it took too long"),
        (Answer(error="x" * 2000), 8, State.FAILED, "x" * 500),
    ],
)
def test_only_success_is_delivered(answer: Answer, attempt: int, state: State, error: str) -> None:
    outcome = outcome_of(answer, attempt)
    assert outcome.state is state
    assert error in outcome.error
    assert (outcome.again_in is None) == (state is not State.PENDING)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x.example/",
        "//x.example/",
        "https://",
        "https://user:pass@x.example/",
        "https://x.example/#part",
        "https://x.example/a b",
        "https://x.example:99999/",
        "https://[::1/",
        "https://x.example/\n",
        "https://x.example/" + "a" * 2048,
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        NewWebhook(url=url)


def test_an_unknown_event_is_refused_and_those_there_are_are_named() -> None:
    with pytest.raises(ValidationError, match=r"run\.failed"):
        NewWebhook(url=QUICK, events=("model.exploded",))


async def test_a_url_off_the_allow_list_makes_no_webhook() -> None:
    house = House()
    with pytest.raises(ValidationError, match="allow-list"):
        await house.hook("https://off.example/")
    assert (await house.webhooks.list(TENANT, limit=5, before=None))[0] == []


async def test_what_is_sent_is_signed_with_the_secret_that_was_shown() -> None:
    house = House()
    hook, secret = await house.hook()
    await house.tell()
    [claimed] = await house.courier.take(5)
    await house.courier.carry(claimed)
    [(url, headers, body)] = house.sender.sent
    assert url == QUICK
    expected = sign(secret, headers["webhook-id"], int(house.now.timestamp()), body)
    assert (headers["webhook-signature"], headers["webhook-timestamp"]) == (expected, str(int(house.now.timestamp())))
    told = json.loads(body)
    assert (told["type"], told["data"]) == ("run.failed", {"run_id": "run_1"})
    [delivery] = await house.deliveries(hook)
    assert (delivery.delivery_id, delivery.state) == (headers["webhook-id"], State.DELIVERED)


async def test_a_receiver_that_mends_itself_gets_the_same_id_and_body_again() -> None:
    house = House()
    await house.hook()
    house.sender.answers[QUICK] = [Answer(500), Answer(error="refused")]
    await house.tell()
    for wait in (*WAITS[:2], timedelta()):
        [claimed] = await house.courier.take(5)
        await house.courier.carry(claimed)
        house.now += wait
    assert await house.courier.take(5) == []
    assert len({(headers["webhook-id"], body) for _, headers, body in house.sender.sent}) == 1
    assert len({headers["webhook-timestamp"] for _, headers, _ in house.sender.sent}) == 3


async def test_a_dead_receiver_is_given_up_after_a_day() -> None:
    house = House()
    hook, _ = await house.hook()
    house.sender.answers[QUICK] = [Answer(503)] * 20
    await house.tell()
    began = house.now
    while house.now < began + timedelta(days=3):
        for claimed in await house.courier.take(5):
            await house.courier.carry(claimed)
        house.now += timedelta(minutes=1)
    [delivery] = await house.deliveries(hook)
    assert (delivery.state, delivery.attempts, delivery.last_status) == (State.FAILED, MAX_TRIES, 503)
    assert len(house.sender.sent) == MAX_TRIES


async def test_a_test_is_sent_at_once_and_its_failure_shown() -> None:
    house = House()
    hook, _ = await house.hook()
    house.sender.answers[QUICK] = [Answer(401)]
    delivery = await house.courier.test(TENANT, hook.webhook_id)
    assert (delivery.event, delivery.state, delivery.last_status) == ("webhook.test", State.PENDING, 401)
    with pytest.raises(WebhookNotFound):
        await house.courier.test("globex", hook.webhook_id)


# ---------------------------------------------------------------------- the loop
class GatedSender(FakeSender):
    """The slow receiver answers when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.all_sent = {SLOW: asyncio.Event(), QUICK: asyncio.Event()}
        self.entered = asyncio.Event()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if url == SLOW:
            self.entered.set()
            await self.open.wait()
        answer = await super().send(url, headers, body)
        if len([None for sent, _, _ in self.sent if sent == url]) == 3:
            self.all_sent[url].set()
        return answer


async def test_a_receiver_that_hangs_holds_up_no_other() -> None:
    sender = GatedSender()
    house = House(sender)
    slow, _ = await house.hook(SLOW)
    quick, _ = await house.hook(QUICK)
    for _ in range(3):
        await house.tell()
    loop = Deliveries(house.courier, poll_s=0.01)

    async def run() -> None:
        while True:
            await loop.step()

    running = asyncio.create_task(run())
    try:
        async with asyncio.timeout(LIMIT_S):
            await sender.all_sent[QUICK].wait()
        assert [delivery.attempts for delivery in await house.deliveries(slow)].count(1) == 1
        sender.open.set()
        async with asyncio.timeout(LIMIT_S):
            await sender.all_sent[SLOW].wait()
        assert {each.state for each in await house.deliveries(quick)} == {State.DELIVERED}
    finally:
        running.cancel()
        await loop.close()


async def test_what_is_under_way_when_a_process_stops_is_tried_again_by_the_next() -> None:
    sender = GatedSender()
    house = House(sender)
    hook, _ = await house.hook(SLOW)
    await house.tell()
    loop = Deliveries(house.courier, poll_s=0.01)
    await loop.step()
    async with asyncio.timeout(LIMIT_S):
        await sender.entered.wait()
    await loop.close()
    assert sender.sent == []
    house.now += timedelta(minutes=3)
    [again] = await house.courier.take(5)
    assert (again.webhook_id, again.attempt) == (hook.webhook_id, 2)


async def test_places_bound_how_many_are_under_way() -> None:
    sender = GatedSender()
    house = House(sender)
    for _ in range(5):
        await house.webhooks.create(TENANT, NewWebhook(url=SLOW))
    await house.tell()
    loop = Deliveries(house.courier, places=2, poll_s=0.01)
    for _ in range(3):
        await loop.step()
    assert len(await house.courier.take(9)) == 3
    await loop.close()


# ---------------------------------------------------------------------- without an allow-list
async def test_without_an_allow_list_there_are_no_webhooks() -> None:
    async with open_sender([], setting="AUTOMESH_WEBHOOK_URL_ALLOW_LIST", field="webhook.url", timeout_s=1) as sender:
        assert isinstance(sender, NoSender)
        with pytest.raises(ValidationError, match="AUTOMESH_WEBHOOK_URL_ALLOW_LIST"):
            sender.check(QUICK)
        assert "no webhook may be used here" in (await sender.send(QUICK, {}, b"")).error
