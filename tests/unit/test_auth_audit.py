"""Who may write into the audit log and who may read what."""

from datetime import timedelta

import pytest

from automesh.core.errors import PermissionDenied, ValidationError
from automesh.core.ids import new_id
from automesh.mesh import audit
from services.auth.domain.actor import Actor, Origin
from services.auth.domain.audit import AuditEvent, AuditFilter, AuditLog
from services.auth.domain.roles import PERMISSIONS, permissions_of
from services.auth.fakes.things import FakeAuditStore, FakeClock
from services.auth.service.audit_sink import LocalAuditSink


class House:
    """The log over a fake."""

    def __init__(self) -> None:
        self.store, self.clock = FakeAuditStore(), FakeClock()
        self.log = AuditLog(self.store, self.clock, new_id)

    @property
    def events(self) -> list[AuditEvent]:
        return list(self.store.events.values())


@pytest.fixture
def house() -> House:
    return House()


def event(**more: object) -> AuditEvent:
    details = {"event_id": new_id("evt"), "time": None, "service": "forged", "outcome": "OK", **more}
    return AuditEvent(**details)  # type: ignore[arg-type]


def reader(tenant: str, *roles: str) -> Actor:
    return Actor(subject="user_1", tenant_id=tenant, permissions=permissions_of(roles))


async def test_a_service_speaks_for_itself_alone(house: House) -> None:
    await house.log.record("orchestrator", [event(service="auth"), event(service="")])
    assert [each.service for each in house.events] == ["orchestrator", "orchestrator"]


async def test_who_is_no_service_may_not_write(house: House) -> None:
    with pytest.raises(PermissionDenied):
        await house.log.record("", [event()])
    assert house.events == []


async def test_a_batch_that_is_too_large_or_nameless_is_refused_whole(house: House) -> None:
    with pytest.raises(ValidationError, match="1001 events"):
        await house.log.record("agent", [event() for _ in range(1001)])
    with pytest.raises(ValidationError, match="event_id"):
        await house.log.record("agent", [event(), event(event_id="")])
    assert house.events == []


async def test_what_would_not_fit_is_cut_rather_than_lost(house: House) -> None:
    await house.log.record("agent", [event(resource="x" * 9999, reason="nul\0here")])
    [stored] = house.events
    assert stored.resource == "x" * 512
    assert stored.reason == "nul\ufffdhere"


async def test_an_entry_without_a_time_happened_now(house: House) -> None:
    earlier = house.clock() - timedelta(hours=1)
    await house.log.record("agent", [event(), event(time=earlier)])
    assert [each.time for each in house.events] == [house.clock(), earlier]


async def test_readers_see_their_tenant_and_operators_see_everything(house: House) -> None:
    await house.log.record(
        "agent", [event(tenant_id=tenant, subject=tenant or "-") for tenant in ("default", "acme", "")]
    )

    async def seen_by(actor: Actor) -> set[str]:
        listed = await house.log.list_newest(actor, AuditFilter(), limit=9, before=None)
        return {each.subject for each in listed}

    assert await seen_by(reader("default", "admin")) == {"default"}
    assert await seen_by(reader("acme", "admin")) == {"acme"}
    assert await seen_by(reader("default", "operator")) == {"default", "acme", "-"}
    assert await seen_by(Actor(subject="user_1", tenant_id="", permissions=PERMISSIONS - {"tenant.any"})) == set()


async def test_auth_notes_what_it_alone_knows(house: House) -> None:
    origin = Origin(source="host", workload="spiffe://d/ns/e/sa/gateway", request_id="req_1")
    await house.log.note("a.B/C", "OK", origin, subject="user_1", tenant_id="default")
    [stored] = house.events
    assert (stored.service, stored.method, stored.subject, stored.request_id) == ("auth", "a.B/C", "user_1", "req_1")
    assert stored.time == house.clock()


async def test_the_entries_of_auths_own_process_go_straight_into_the_log(house: House) -> None:
    seen = audit.AuditEvent(
        method="a.B/C", outcome="NOT_FOUND", tenant_id="acme", subject="user_1", workload="w", resource="r", reason="R"
    )
    sink = LocalAuditSink(house.log)
    await sink([seen])
    await sink([seen])
    [stored] = house.events
    assert stored.time is not None
    assert stored.time.isoformat() == seen.time
    for name in ("event_id", "method", "outcome", "tenant_id", "subject", "workload", "resource", "reason"):
        assert getattr(stored, name) == getattr(seen, name)
