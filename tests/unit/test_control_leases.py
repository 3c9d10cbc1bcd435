"""The leases of the embedded registry, and what is kept over an outage of Consul. Time is given in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from automesh.core.errors import Exhausted, PermissionDenied, ValidationError
from services.control.domain import leases
from services.control.domain.holdover import Holdover
from services.control.domain.instance import Instance
from services.control.domain.leases import LeaseTable
from services.control.store.embedded import EmbeddedCatalogue

ECHO = Instance(instance_id="echo-1", service="echo", address="127.0.0.1", port=4001)
OTHER = Instance(instance_id="echo-2", service="echo", address="127.0.0.1", port=4002)


@pytest.fixture
def table() -> LeaseTable:
    return LeaseTable(ttl_s=10, linger_s=3)


def test_a_claimed_instance_is_listed_until_its_ttl(table: LeaseTable) -> None:
    table.claim(ECHO, now=100)
    assert table.expire(now=109.9) == 110
    assert table.instances() == (ECHO,)
    assert table.expire(now=110) is None
    assert table.instances() == ()


def test_renewing_pushes_the_deadline_out_and_is_no_change(table: LeaseTable) -> None:
    lease = table.claim(ECHO, now=100)
    changes = table.changes
    assert table.renew(lease, ECHO, now=108)
    assert table.expire(now=111) == 118
    assert table.changes == changes


def test_a_renewal_may_change_the_health(table: LeaseTable) -> None:
    lease = table.claim(ECHO, now=100)
    assert table.renew(lease, replace(ECHO, healthy=False), now=101)
    assert not table.instances()[0].healthy


def test_a_renewal_is_checked_as_a_claim_is(table: LeaseTable) -> None:
    lease = table.claim(ECHO, now=100)
    with pytest.raises(ValidationError):
        table.renew(lease, replace(ECHO, port=0), now=101)
    assert table.instances() == (ECHO,)


def test_a_lost_lease_cannot_be_renewed(table: LeaseTable) -> None:
    lease = table.claim(ECHO, now=100)
    table.expire(now=200)
    assert not table.renew(lease, ECHO, now=200)


def test_a_newer_stream_of_the_same_instance_takes_the_lease_over(table: LeaseTable) -> None:
    old = table.claim(ECHO, now=100)
    new = table.claim(ECHO, now=101)
    table.release(old)
    table.linger(old, now=101)
    assert not table.renew(old, ECHO, now=102)
    assert table.expire(now=110.5) == 111
    table.release(new)
    assert table.instances() == ()


def test_the_newest_claim_stands_last(table: LeaseTable) -> None:
    table.claim(ECHO, now=100)
    table.claim(OTHER, now=100)
    table.claim(ECHO, now=101)
    assert table.instances() == (OTHER, ECHO)


def test_the_instance_id_of_another_service_cannot_be_claimed(table: LeaseTable) -> None:
    table.claim(ECHO, now=100)
    with pytest.raises(PermissionDenied):
        table.claim(replace(ECHO, service="agent"), now=100)
    assert table.instances() == (ECHO,)


def test_a_broken_stream_leaves_a_little_time(table: LeaseTable) -> None:
    lease = table.claim(ECHO, now=100)
    table.linger(lease, now=101)
    assert table.expire(now=103.9) == 104
    assert table.expire(now=104) is None


def test_lingering_never_lasts_longer_than_the_ttl(table: LeaseTable) -> None:
    lease = table.claim(ECHO, now=100)
    table.linger(lease, now=109)
    assert table.expire(now=109) == 110


def test_what_was_remembered_stays_for_the_grace_or_until_its_process_is_back(table: LeaseTable) -> None:
    table.restore([ECHO, OTHER], until=115)
    lease = table.claim(ECHO, now=101)
    assert table.renew(lease, ECHO, now=110)
    table.expire(now=115)
    assert table.instances() == (ECHO,)


def test_a_full_table_takes_nobody_new(table: LeaseTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_INSTANCES", 1)
    table.claim(ECHO, now=100)
    with pytest.raises(Exhausted):
        table.claim(OTHER, now=100)
    table.claim(ECHO, now=100)  # who is in may stay


async def test_watching_tells_of_every_change_and_drops_what_is_overdue() -> None:
    now = 100.0
    catalogue = EmbeddedCatalogue([OTHER], ttl_s=10, grace_s=5, monotonic=lambda: now)
    watching = catalogue.watch().__aiter__()
    assert await anext(watching) == (OTHER,)
    lease = catalogue.keep(None, ECHO)
    assert await anext(watching) == (OTHER, ECHO)
    now = 105.0
    assert await anext(watching) == (ECHO,)
    assert catalogue.keep(lease, ECHO) == lease
    catalogue.release(lease)
    assert await anext(watching) == ()


async def test_a_lost_lease_is_claimed_anew() -> None:
    now = 100.0
    catalogue = EmbeddedCatalogue(ttl_s=10, monotonic=lambda: now)
    lease = catalogue.keep(None, ECHO)
    watching = catalogue.watch().__aiter__()
    assert await anext(watching) == (ECHO,)
    now = 120.0
    assert await anext(watching) == ()
    assert catalogue.keep(lease, ECHO).epoch > lease.epoch
    assert await anext(watching) == (ECHO,)


def test_without_an_outage_the_catalogue_is_believed_at_once() -> None:
    holdover = Holdover(grace_s=15)
    assert holdover.merge([ECHO], now=100) == (ECHO,)
    assert holdover.merge([], now=101) == ()
    assert holdover.pending(now=101) == 0


def test_after_an_outage_what_was_forgotten_is_kept_for_the_grace() -> None:
    holdover = Holdover([ECHO], grace_s=15)
    holdover.lost()
    assert holdover.merge([OTHER], now=100) == (ECHO, OTHER)
    assert holdover.pending(now=110) == 5
    assert holdover.merge([OTHER], now=114) == (ECHO, OTHER)
    assert holdover.merge([OTHER], now=115) == (OTHER,)


def test_after_an_outage_fresh_news_of_an_instance_win() -> None:
    holdover = Holdover([ECHO], grace_s=15)
    holdover.lost()
    sick = replace(ECHO, healthy=False)
    assert holdover.merge([sick], now=100) == (sick,)
