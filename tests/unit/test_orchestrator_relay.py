"""Signals between replicas: each once, no echo, bounded, and what is not understood counts as a gap."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from automesh.mesh.loops import running
from automesh.storage.fanout import LocalFanout
from automesh.storage.relay import MAX_WAITING
from services.orchestrator.clients.relay import CHANNEL, signal_relay
from services.orchestrator.domain.signals import Signal, Signals, Topic


class Ear:
    """Hears signals, and can be waited for."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self._more = asyncio.Event()

    def __call__(self, signal: Signal) -> None:
        self.signals.append(signal)
        self._more.set()

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.signals) < count:
                self._more.clear()
                await self._more.wait()


@pytest.fixture
async def two() -> AsyncIterator[tuple[Signals, Mapping[str, Ear]]]:
    """Signals of one replica, and what it and another one hear."""
    fanout, heard = LocalFanout(), {"one": Ear(), "two": Ear()}
    relays = {name: signal_relay(fanout, replica=name) for name in heard}
    signals = {name: Signals(relay) for name, relay in relays.items()}
    for name, one in signals.items():
        one.listen(heard[name])
    steps = {f"send {name}": relay.send_forever for name, relay in relays.items()}
    receive = {
        f"receive {name}": (lambda name=name: relays[name].receive_forever(signals[name].deliver)) for name in relays
    }
    async with running({**steps, **receive}):
        await asyncio.sleep(0)  # each loop runs to its first wait
        yield signals["one"], heard


async def test_signals_reach_the_other_replica_once_and_do_not_echo(
    two: tuple[Signals, Mapping[str, Ear]],
) -> None:
    signals, heard = two
    lost = Signal(Topic.LOST, task_id="t1", agent_id="a", attempt=3, reason="CANCELLED", text="enough")
    signals.emit(lost)
    for _ in range(3):
        signals.task_changed("t1")
    await heard["two"].reach(2)
    changed = Signal(Topic.TASK, task_id="t1")
    assert heard["two"].signals == [lost, changed]  # a burst of equal hints is one hint
    assert heard["one"].signals == [lost, changed, changed, changed]


async def test_what_a_newer_replica_says_counts_as_a_gap() -> None:
    fanout, heard = LocalFanout(), Ear()
    signals = Signals()
    signals.listen(heard)
    relay = signal_relay(fanout, replica="one")
    async with running({"receive": lambda: relay.receive_forever(signals.deliver)}):
        await asyncio.sleep(0)  # each loop runs to its first wait
        await fanout.publish(CHANNEL, b'{"replica": "two", "hints": [{"topic": "dance"}]}')
        await fanout.publish(CHANNEL, b"not json")
        await heard.reach(2)
    assert heard.signals == [Signal(Topic.GAP)] * 2


def test_signals_that_nobody_carries_are_bounded() -> None:
    relay = signal_relay(LocalFanout(), replica="one")
    for number in range(MAX_WAITING + 5):
        relay.send(Signal(Topic.TASK, task_id=str(number)))
    assert len(relay._waiting) == MAX_WAITING
