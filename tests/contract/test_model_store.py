"""One suite for both stores of the model registry: the fakes, and the real ones on PostgreSQL."""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automesh.core.ids import new_id
from automesh.core.webhooks import MAX_TRIES, Claimed, Delivery, Outcome, State
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.model.domain.registry.errors import (
    AliasNotFound,
    ModelNameTaken,
    ModelNotFound,
    TooManyWebhooks,
    VersionNotFound,
    WebhookNotFound,
    WebhookRequestReused,
)
from services.model.domain.registry.gates import (
    AliasGates,
    ComparisonGate,
    DriftGate,
    GateResult,
    LatencyGate,
    MetricGate,
    SizeGate,
)
from services.model.domain.registry.model import Model, ModelText, ServingOptions
from services.model.domain.registry.moves import Basis, NewMove
from services.model.domain.registry.ports import AliasRequests, BasisChanged, Deletion, ModelQuery, ModelStore
from services.model.domain.registry.version import ModelFile, ModelVersion, NewVersion
from services.model.domain.webhooks.events import ALIAS_MOVED, MODEL_DELETED, VERSION_CREATED, Event
from services.model.domain.webhooks.ports import DeliveryStore, WebhookDraft, WebhookStore
from services.model.domain.webhooks.webhook import NewWebhook, Webhook
from services.model.fakes.model_store import FakeModelStore
from services.model.fakes.webhook_store import FakeWebhookStore
from services.model.store.alias_requests import SqlAliasRequests
from services.model.store.deliveries import SqlDeliveryStore
from services.model.store.versions import SqlModelStore
from services.model.store.webhooks import SqlWebhookStore

MOVES = itertools.count()
TENANT, OTHER = "acme", "globex"
HOLD = timedelta(minutes=2)
WAITING = 10
DIGEST = "ab" * 32
SHIFTS = (
    "UPDATE delivery SET next_at = next_at - $1::interval, claimed_until = claimed_until - $1::interval, "
    "created_at = created_at - $1::interval",
    "UPDATE alias_request SET due_at = due_at - $1::interval",
)
LIVE_RUN = """
INSERT INTO run (run_id, tenant_id, model_id, spec, submission, waits_for_gpu, claims, last_batch, last_sequence,
                 model_version, cancel_reason, sweep_id, detail, settled, created_by, request_id, fingerprint)
VALUES ($1, $2, $3, '{}', 1, false, 0, 0, 0, 0, '', '', '{}', false, 'user_1', '', '')
"""


@dataclass
class House:
    """The stores, with a handle on their time and on what trains."""

    models: ModelStore
    requests: AliasRequests
    hooks: WebhookStore
    deliveries: DeliveryStore
    advance: Callable[[float], Awaitable[None]]
    train: Callable[[Model], Awaitable[None]]

    async def model(self, name: str = "prices", tenant_id: str = TENANT, **text: Any) -> Model:
        return await self.models.create(new_id("model"), tenant_id, ModelText(name=name, **text), "user_1")

    async def version(
        self, model: Model, run_id: str = "", aliases: tuple[str, ...] = (), **fields: Any
    ) -> ModelVersion:
        new = content(**fields)
        return await self.models.add_version(model.tenant_id, model.model_id, run_id or new_id("run"), new, aliases)

    async def point(self, model: Model, alias: str, version: int, **fields: Any) -> Model:
        move = NewMove(move_id=f"move_{next(MOVES):06}", alias=alias, version=version, moved_by="user_1", **fields)
        return await self.models.move(model.tenant_id, model.model_id, move)

    async def hook(self, *events: str, tenant_id: str = TENANT, request_id: str = "", limit: int = 100) -> Webhook:
        draft = drafted(*events, tenant_id=tenant_id, request_id=request_id)
        return (await self.hooks.create(draft, limit=limit))[0]

    async def sent_to(self, hook: Webhook) -> list[Delivery]:
        return list(await self.hooks.deliveries(hook.tenant_id, hook.webhook_id, limit=100, before=None))

    async def claim(self, limit: int = 10) -> list[Claimed]:
        return list(await self.deliveries.claim(limit=limit, hold_for=HOLD))


def content(**fields: Any) -> NewVersion:
    plain: dict[str, Any] = {
        "metrics": {"val/loss": 0.25},
        "signature": {"features": ["a", "b"]},
        "size": 10,
        "parameters": 3,
        "digest": DIGEST,
        "files": (),
        "spec": {"seed": "1"},
        "created_by": "user_1",
    }
    return NewVersion(**(plain | fields))


def drafted(
    *events: str, tenant_id: str = TENANT, request_id: str = "", url: str = "https://x.example/"
) -> WebhookDraft:
    return WebhookDraft(
        webhook_id=new_id("webhook"),
        tenant_id=tenant_id,
        content=NewWebhook(url=url, events=events),
        secret=new_id("secret").encode(),
        request_id=request_id,
    )


def retry(seconds: float) -> Outcome:
    return Outcome(state=State.PENDING, status=500, error="it broke", again_in=timedelta(seconds=seconds))


DELIVERED = Outcome(state=State.DELIVERED, status=200, error="")


def fake_house() -> House:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(microseconds=1)  # no two changes at the same moment, as in a database
        return now

    async def advance(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    hooks = FakeWebhookStore(clock, max_pending=WAITING)
    models = FakeModelStore(clock, announce=hooks.announce)

    async def train(model: Model) -> None:
        models.live.add(model.model_id)

    return House(models, models, hooks, hooks, advance, train)


def sql_house(database: Database) -> House:
    sealer = Sealer(Keyring.generate())

    async def advance(seconds: float) -> None:
        for shift in SHIFTS:
            await database.execute(shift, timedelta(seconds=seconds), tenant=ENGINE)

    async def train(model: Model) -> None:
        await database.execute(LIVE_RUN, new_id("run"), model.tenant_id, model.model_id, tenant=ENGINE)

    return House(
        SqlModelStore(database),
        SqlAliasRequests(database),
        SqlWebhookStore(database, sealer),
        SqlDeliveryStore(database, sealer, max_pending=WAITING),
        advance,
        train,
    )


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.postgres)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "fake":
        yield fake_house()
        return
    postgres: PostgresForTests = request.getfixturevalue("postgres")
    async with (
        postgres.fresh({"model": "services.model.migrations"}) as dsn,
        Database.open(dsn, schema="model") as database,
    ):
        yield sql_house(database)


# ---------------------------------------------------------------------- models
async def test_what_was_created_is_read_back(house: House) -> None:
    gates = (
        MetricGate("val/loss", "<=", 0.2),
        ComparisonGate("val/loss", "champion", 5.0, True),
        LatencyGate(3.5),
        SizeGate(10**10),
        DriftGate(0.3),
    )
    text: dict[str, Any] = {
        "description": "für alle",
        "tags": {"team": "blue"},
        "gates": (AliasGates("champion", gates), AliasGates("candidate")),
        "serving": ServingOptions(max_batch_size=8, max_delay_us=0, max_queue=5),
    }
    model = await house.model(**text)
    assert await house.models.get(TENANT, model.model_id) == model
    assert await house.models.find(TENANT, "prices") == model
    assert await house.models.find(TENANT, model.model_id) == model
    assert model.text == ModelText(name="prices", **text)
    assert (model.aliases, model.latest_version, model.created_by) == ({}, 0, "user_1")


async def test_a_model_of_another_tenant_is_not_there(house: House) -> None:
    model = await house.model()
    await house.version(model)
    for call in (
        house.models.get(OTHER, model.model_id),
        house.models.change(OTHER, model.model_id, lambda model: model),
        house.models.delete(OTHER, model.model_id, lambda _: None),
        house.models.version(OTHER, model.model_id, 1),
        house.models.versions(OTHER, model.model_id, limit=5, before=None),
        house.models.moves(OTHER, model.model_id, limit=5, before=None),
        house.models.add_version(OTHER, model.model_id, "run_x", content(), ()),
    ):
        with pytest.raises(ModelNotFound):
            await call
    with pytest.raises(ModelNotFound):
        await house.models.find(OTHER, "prices")
    with pytest.raises(ModelNotFound):
        await house.models.find(OTHER, model.model_id)
    assert await house.models.list(OTHER, ModelQuery(limit=5)) == []


async def test_a_name_is_taken_once_it_has_a_version_or_trains_and_only_in_its_tenant(house: House) -> None:
    model = await house.model()
    assert (await house.model()).model_id == model.model_id  # left empty by a start that failed
    await house.train(model)
    with pytest.raises(ModelNameTaken):
        await house.model()
    assert (await house.model(tenant_id=OTHER)).model_id != model.model_id
    trained = await house.model("trained")
    await house.version(trained)
    with pytest.raises(ModelNameTaken, match=trained.model_id):
        await house.model("trained")


async def test_a_text_is_replaced_as_a_whole_and_a_taken_name_refused(house: House) -> None:
    model = await house.model(description="old", tags={"a": "b"})
    await house.model("other")
    changed = await house.models.change(TENANT, model.model_id, lambda model: model.edit(ModelText(name="new")))
    assert changed.text == ModelText(name="new")
    assert changed.updated_at > model.updated_at
    with pytest.raises(ModelNameTaken):
        await house.models.change(TENANT, model.model_id, lambda model: model.edit(ModelText(name="other")))
    assert (await house.models.get(TENANT, model.model_id)).text.name == "new"


async def test_models_are_listed_by_their_latest_change_in_pages(house: House) -> None:
    models = [await house.model(f"m{number}") for number in range(3)]
    await house.models.change(
        TENANT, models[0].model_id, lambda model: model.edit(ModelText(name="m0", description="x"))
    )
    first = await house.models.list(TENANT, ModelQuery(limit=2))
    assert [model.text.name for model in first] == ["m0", "m2"]
    before = (first[-1].updated_at, first[-1].model_id)
    assert [m.text.name for m in await house.models.list(TENANT, ModelQuery(limit=2, before=before))] == ["m1"]


async def test_models_are_found_by_a_part_of_the_name_and_by_a_tag(house: House) -> None:
    await house.model("Sunspots 100%", tags={"team": "blue"})
    await house.model("prices", tags={"team": "red", "stage": "blue"})
    for query, names in (
        (ModelQuery(limit=5, name_contains="SPOT"), ["Sunspots 100%"]),
        (ModelQuery(limit=5, name_contains="0%"), ["Sunspots 100%"]),
        (ModelQuery(limit=5, name_contains="%0"), []),
        (ModelQuery(limit=5, tag=("team", "blue")), ["Sunspots 100%"]),
        (ModelQuery(limit=5, tag=("team", "green")), []),
    ):
        assert [model.text.name for model in await house.models.list(TENANT, query)] == names


# ---------------------------------------------------------------------- versions
async def test_a_version_is_read_back_with_numbers_that_json_lacks(house: House) -> None:
    model = await house.model()
    file = ModelFile(name="plots/loss.png", content_type="image/png", size=5, sha256=DIGEST, blob="runs/a/b/model/x")
    made = await house.version(
        model,
        "run_1",
        metrics={"val/loss": 0.1, "val/mae": math.nan, "x": math.inf},
        files=(file,),
        card={"about": "a\u0000b", "nested": {"list": [1, 2.5, None]}},
        spec={"optimization": {"epochs": 3}},
        data_id="data_1",
        data_version=4,
    )
    read = await house.models.version(TENANT, model.model_id, 1)
    assert (read.version, read.run_id, read.aliases) == (1, "run_1", ())
    assert read.content.metrics["val/loss"] == 0.1
    assert math.isnan(read.content.metrics["val/mae"])
    assert read.content.metrics["x"] == math.inf
    assert replace(read.content, metrics={}) == replace(made.content, metrics={})


async def test_versions_count_up_and_0_is_the_latest(house: House) -> None:
    model = await house.model()
    with pytest.raises(VersionNotFound):
        await house.models.version(TENANT, model.model_id, 0)
    for number in (1, 2, 3):
        assert (await house.version(model)).version == number
    assert (await house.models.version(TENANT, model.model_id, 0)).version == 3
    assert (await house.models.get(TENANT, model.model_id)).latest_version == 3
    first = await house.models.versions(TENANT, model.model_id, limit=2, before=None)
    rest = await house.models.versions(TENANT, model.model_id, limit=2, before=2)
    assert ([v.version for v in first], [v.version for v in rest]) == ([3, 2], [1])
    with pytest.raises(VersionNotFound):
        await house.models.version(TENANT, model.model_id, 4)


async def test_a_run_gives_one_version_however_often_it_says_so(house: House) -> None:
    model = await house.model()
    hook = await house.hook(VERSION_CREATED)
    made = await asyncio.gather(*(house.version(model, "run_1") for _ in range(4)))
    assert {version.version for version in made} == {1}
    assert (await house.version(model, "run_2")).version == 2
    assert len(await house.sent_to(hook)) == 2


# ---------------------------------------------------------------------- aliases
async def test_an_alias_moves_and_every_move_is_recorded_with_its_results(house: House) -> None:
    model = await house.model()
    for _ in range(2):
        await house.version(model)
    results = (GateResult("loss <= 1", True, 0.5, 1.0), GateResult("drift", False, math.nan, 0.2, "no data"))
    await house.point(model, "champion", 1)
    moved = await house.point(model, "champion", 2, results=results, override_reason="we know better")
    assert moved.aliases == {"champion": 2}
    assert (await house.models.version(TENANT, model.model_id, 2)).aliases == ("champion",)
    assert (await house.models.version(TENANT, model.model_id, 1)).aliases == ()
    assert (await house.point(model, "champion", 0)).aliases == {}
    removed, second, first = await house.models.moves(TENANT, model.model_id, limit=5, before=None)
    assert [(m.from_version, m.to_version) for m in (first, second, removed)] == [(0, 1), (1, 2), (2, 0)]
    assert (second.override_reason, second.moved_by) == ("we know better", "user_1")
    assert second.results[0] == results[0]
    assert math.isnan(second.results[1].value)
    page = await house.models.moves(TENANT, model.model_id, limit=5, before=second.move_id)
    assert [move.move_id for move in page] == [first.move_id]


async def test_a_move_to_where_the_alias_stands_records_nothing(house: House) -> None:
    model = await house.model()
    await house.version(model)
    await house.point(model, "champion", 1)
    assert (await house.point(model, "champion", 1)).aliases == {"champion": 1}
    assert len(await house.models.moves(TENANT, model.model_id, limit=5, before=None)) == 1


async def test_an_alias_cannot_point_at_nothing_and_none_that_nothing_holds_be_removed(house: House) -> None:
    model = await house.model()
    with pytest.raises(VersionNotFound):
        await house.point(model, "champion", 7)
    with pytest.raises(AliasNotFound):
        await house.point(model, "champion", 0)
    assert (await house.models.get(TENANT, model.model_id)).aliases == {}


async def test_of_moves_that_were_decided_on_the_same_ground_one_is_made(house: House) -> None:
    model = await house.model()
    for _ in range(4):
        await house.version(model)
    basis = Basis.of(await house.models.get(TENANT, model.model_id), "champion")
    raced = await asyncio.gather(
        *(house.point(model, "champion", number, basis=basis) for number in (1, 2, 3, 4)), return_exceptions=True
    )
    assert sum(isinstance(each, BasisChanged) for each in raced) == 3
    assert len(await house.models.moves(TENANT, model.model_id, limit=9, before=None)) == 1


async def test_a_move_does_not_outlive_the_gates_it_was_decided_on(house: House) -> None:
    model = await house.model()
    await house.version(model)
    basis = Basis.of(await house.models.get(TENANT, model.model_id), "champion")
    stricter = ModelText(name="prices", gates=(AliasGates("champion", (SizeGate(1),)),))
    await house.models.change(TENANT, model.model_id, lambda model: model.edit(stricter))
    with pytest.raises(BasisChanged):
        await house.point(model, "champion", 1, basis=basis)


async def test_aliases_that_a_version_asks_for_go_to_one_replica_at_a_time(house: House) -> None:
    model = await house.model()
    await house.version(model, aliases=("champion", "candidate"))
    taken = await house.requests.take(limit=5, hold_for=HOLD)
    assert [(each.alias, each.version, each.tries, each.requested_by) for each in taken] == [
        ("candidate", 1, 1, "user_1"),
        ("champion", 1, 1, "user_1"),
    ]
    assert await house.requests.take(limit=5, hold_for=HOLD) == []
    assert await house.requests.take(limit=5, hold_for=HOLD, model_id="model_other") == []
    await house.requests.settle(taken[0])
    await house.advance(HOLD.total_seconds() + 1)
    [again] = await house.requests.take(limit=5, hold_for=HOLD, model_id=model.model_id)
    assert (again.alias, again.tries) == ("champion", 2)


# ---------------------------------------------------------------------- deletion
async def test_a_deletion_knows_what_speaks_against_it(house: House) -> None:
    model = await house.model()
    await house.version(model)
    await house.point(model, "champion", 1)
    seen: list[Deletion] = []

    def refuse(deletion: Deletion) -> None:
        seen.append(deletion)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await house.models.delete(TENANT, model.model_id, refuse)
    await house.train(model)
    with pytest.raises(ValueError, match="no"):
        await house.models.delete(TENANT, model.model_id, refuse)
    assert [(each.model.aliases, each.trains) for each in seen] == [({"champion": 1}, False), ({"champion": 1}, True)]
    assert (await house.models.get(TENANT, model.model_id)).aliases == {"champion": 1}


async def test_what_was_deleted_is_gone_and_told(house: House) -> None:
    model = await house.model()
    hook = await house.hook(MODEL_DELETED)
    await house.version(model, aliases=("champion",))
    await house.point(model, "candidate", 1)
    await house.models.delete(TENANT, model.model_id, lambda _: None)
    with pytest.raises(ModelNotFound):
        await house.models.get(TENANT, model.model_id)
    assert await house.requests.take(limit=5, hold_for=HOLD) == []
    assert [each.event for each in await house.sent_to(hook)] == [MODEL_DELETED]
    assert (await house.model()).model_id != model.model_id


# ---------------------------------------------------------------------- webhooks
async def test_webhooks_are_listed_newest_first_and_only_to_their_tenant(house: House) -> None:
    hooks = sorted([await house.hook() for _ in range(3)], key=lambda hook: hook.webhook_id, reverse=True)
    await house.hook(tenant_id=OTHER)
    assert await house.hooks.list(TENANT, limit=2, before=None) == hooks[:2]
    assert await house.hooks.list(TENANT, limit=2, before=hooks[1].webhook_id) == hooks[2:]
    with pytest.raises(WebhookNotFound):
        await house.hooks.delete(OTHER, hooks[0].webhook_id)
    with pytest.raises(WebhookNotFound):
        await house.hooks.deliveries(OTHER, hooks[0].webhook_id, limit=5, before=None)


async def test_a_request_id_makes_one_webhook_with_one_secret(house: House) -> None:
    draft = drafted(request_id="r1")
    first = await house.hooks.create(draft, limit=9)
    again = await house.hooks.create(replace(draft, webhook_id=new_id("webhook"), secret=b"other"), limit=1)
    assert first == again
    with pytest.raises(WebhookRequestReused):
        await house.hooks.create(drafted(request_id="r1", url="https://y.example/"), limit=9)
    await house.hook(tenant_id=OTHER, request_id="r1")


async def test_a_tenant_has_so_many_webhooks_and_no_more(house: House) -> None:
    made = await asyncio.gather(*(house.hook(limit=2) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, TooManyWebhooks) for each in made) == 2
    assert len(await house.hooks.list(TENANT, limit=9, before=None)) == 2


async def test_an_event_goes_to_the_webhooks_that_want_it(house: House) -> None:
    everything, moves, versions = await house.hook(), await house.hook(ALIAS_MOVED), await house.hook(VERSION_CREATED)
    elsewhere = await house.hook(tenant_id=OTHER)
    model = await house.model()
    await house.version(model)
    await house.point(model, "champion", 1)
    told = {
        hook.webhook_id: sorted(each.event for each in await house.sent_to(hook))
        for hook in (everything, moves, versions, elsewhere)
    }
    assert list(told.values()) == [[ALIAS_MOVED, VERSION_CREATED], [ALIAS_MOVED], [VERSION_CREATED], []]


async def test_a_delivery_is_tried_by_one_replica_and_carries_the_secret(house: House) -> None:
    draft = drafted()
    await house.hooks.create(draft, limit=9)
    await house.deliveries.announce(TENANT, Event("run.failed", {"run_id": "run_1"}))
    claims = await asyncio.gather(*(house.claim() for _ in range(3)))
    [claimed] = [each for claim in claims for each in claim]
    assert (claimed.url, claimed.secret, claimed.attempt) == ("https://x.example/", draft.secret, 1)
    assert b'"run_id":"run_1"' in claimed.body
    done = await house.deliveries.record(claimed, DELIVERED)
    assert done is not None
    assert (done.state, done.attempts, done.last_status, done.next_at) == (State.DELIVERED, 1, 200, None)
    assert await house.claim() == []


async def test_a_failed_try_comes_again_after_its_wait(house: House) -> None:
    hook = await house.hook()
    await house.deliveries.announce(TENANT, Event("run.failed", {}))
    [first] = await house.claim()
    waiting = await house.deliveries.record(first, retry(30))
    assert waiting is not None
    assert (waiting.state, waiting.last_error, waiting.last_status) == (State.PENDING, "it broke", 500)
    assert await house.claim() == []
    await house.advance(31)
    [second] = await house.claim()
    assert (second.delivery_id, second.attempt, second.body) == (first.delivery_id, 2, first.body)
    assert await house.sent_to(hook) != []


async def test_what_a_replica_says_after_another_took_over_does_not_count(house: House) -> None:
    await house.hook()
    await house.deliveries.announce(TENANT, Event("run.failed", {}))
    [slow] = await house.claim()
    await house.advance(HOLD.total_seconds() + 1)
    [fast] = await house.claim()
    assert await house.deliveries.record(slow, DELIVERED) is None
    assert await house.deliveries.record(fast, retry(5)) is not None


async def test_one_delivery_of_a_webhook_is_under_way_and_others_are_not_held_up(house: House) -> None:
    slow, quick = await house.hook(), await house.hook()
    for _ in range(3):
        await house.deliveries.announce(TENANT, Event("run.failed", {}))
    first = await house.claim()
    assert {each.webhook_id for each in first} == {slow.webhook_id, quick.webhook_id}
    [done] = [each for each in first if each.webhook_id == quick.webhook_id]
    await house.deliveries.record(done, DELIVERED)
    assert [each.webhook_id for each in await house.claim()] == [quick.webhook_id]


async def test_the_last_try_of_a_process_that_died_ends_the_delivery(house: House) -> None:
    hook = await house.hook()
    await house.deliveries.announce(TENANT, Event("run.failed", {}))
    for _ in range(MAX_TRIES):
        assert len(await house.claim()) == 1
        await house.advance(HOLD.total_seconds() + 1)
    assert await house.claim() == []
    [given_up] = await house.sent_to(hook)
    assert (given_up.state, given_up.attempts, given_up.next_at) == (State.FAILED, MAX_TRIES, None)


async def test_a_test_is_held_from_the_first_moment(house: House) -> None:
    hook = await house.hook("run.failed")
    claimed = await house.deliveries.begin(TENANT, hook.webhook_id, Event("webhook.test", {}), hold_for=HOLD)
    assert (claimed.attempt, claimed.event) == (1, "webhook.test")
    assert await house.claim() == []
    assert await house.deliveries.record(claimed, DELIVERED) is not None
    with pytest.raises(WebhookNotFound):
        await house.deliveries.begin(OTHER, hook.webhook_id, Event("webhook.test", {}), hold_for=HOLD)


async def test_a_deleted_webhook_takes_what_waits_with_it(house: House) -> None:
    hook = await house.hook()
    await house.deliveries.announce(TENANT, Event("run.failed", {}))
    [claimed] = await house.claim()
    await house.hooks.delete(TENANT, hook.webhook_id)
    assert await house.deliveries.record(claimed, DELIVERED) is None
    with pytest.raises(WebhookNotFound):
        await house.sent_to(hook)


async def test_a_webhook_that_is_stuck_gets_no_more_to_wait(house: House) -> None:
    hook = await house.hook()
    for _ in range(WAITING + 1):
        await house.deliveries.announce(TENANT, Event("run.failed", {}))
    found = await house.hooks.deliveries(TENANT, hook.webhook_id, limit=WAITING + 5, before=None)
    [failed] = [each for each in found if each.state is State.FAILED]
    assert "mend its receiver" in failed.last_error


async def test_finished_deliveries_are_forgotten_after_a_while(house: House) -> None:
    hook = await house.hook()
    await house.deliveries.announce(TENANT, Event("run.failed", {}))
    await house.deliveries.announce(TENANT, Event("run.failed", {}))
    [claimed] = await house.claim()
    await house.deliveries.record(claimed, DELIVERED)
    assert await house.deliveries.forget(timedelta(days=30), limit=10) == 0
    await house.advance(31 * 86_400)
    assert await house.deliveries.forget(timedelta(days=30), limit=10) == 1
    assert [each.state for each in await house.sent_to(hook)] == [State.PENDING]
