"""Signals to and from the other replicas of the orchestrator."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from automesh.storage.fanout import Fanout
from automesh.storage.relay import FanoutRelay
from services.orchestrator.domain.signals import Signal, Topic

CHANNEL = "orchestrator.signals"


def signal_relay(fanout: Fanout, *, replica: str) -> FanoutRelay[Signal]:
    """A services.orchestrator.domain.signals.Relay."""
    return FanoutRelay(fanout, channel=CHANNEL, replica=replica, gap=Signal(Topic.GAP), encode=asdict, decode=_signal)


def _signal(told: Any) -> Signal:
    return Signal(**{**told, "topic": Topic(told["topic"])})
