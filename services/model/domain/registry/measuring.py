"""Measures what gates ask for beyond the database: predictions by serving, drift by the data service's statistics.

What cannot be measured is told, not raised: the gate does not pass, and says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from automesh.core.errors import AutomationError
from services.model.domain.registry.drift import worst_drift
from services.model.domain.registry.gates import Measured
from services.model.domain.registry.ports import DataStatistics, LatencyProbe
from services.model.domain.registry.version import ModelVersion

LIMIT_S = 60.0


class Measurer:
    """A GateKeeper. Without a `probe` latency cannot be measured here."""

    def __init__(self, probe: LatencyProbe | None, statistics: DataStatistics, *, limit_s: float = LIMIT_S) -> None:
        self._probe = probe
        self._statistics = statistics
        self._limit_s = limit_s

    async def latency(self, version: ModelVersion) -> Measured:
        """p99 in milliseconds."""
        if self._probe is None:
            return Measured(message="this process serves no models, so that nothing can be measured")
        try:
            async with asyncio.timeout(self._limit_s):
                return Measured(await self._probe.p99_ms(version.tenant_id, version.model_id, version.version))
        except TimeoutError:
            return Measured(message=f"measuring took longer than {self._limit_s:g} s")
        except AutomationError as error:
            return Measured(message=error.message)

    async def drift(self, version: ModelVersion, holder: ModelVersion | None) -> Measured:
        """The population stability index of the worst feature."""
        if holder is None:
            return Measured(0.0, "nothing holds the alias yet")
        if _data(version) == _data(holder):
            return Measured(0.0, "both were trained on the same data")
        try:
            async with asyncio.timeout(self._limit_s):
                new = await self._statistics.columns(version.tenant_id, *_data(version))
                old = await self._statistics.columns(holder.tenant_id, *_data(holder))
        except TimeoutError:
            return Measured(message=f"the data service took longer than {self._limit_s:g} s")
        except AutomationError as error:
            return Measured(message=error.message)
        return worst_drift(_features(version), new, old)


def _data(version: ModelVersion) -> tuple[str, int]:
    return version.content.data_id, version.content.data_version


def _features(version: ModelVersion) -> Sequence[str]:
    features = version.content.signature.get("features", ())
    return [str(each) for each in features] if isinstance(features, list | tuple) else []
