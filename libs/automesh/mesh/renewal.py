"""Keeps a process's certificate fresh: a new one at half of its life, give or take, long before the old one ends."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta

import structlog

from automesh.core.clock import Clock, utc_now
from automesh.core.errors import AutomationError
from automesh.mesh.auth_client import CertificateIssuer
from automesh.mesh.certificates import key_to_pem, new_csr, new_key
from automesh.mesh.identity import Identity, IdentityFiles

log = structlog.get_logger()

JITTER = 0.1
MIN_WAIT = timedelta(seconds=0.5)
MAX_WAIT = timedelta(hours=6)


async def renew_forever(files: IdentityFiles, issue: CertificateIssuer, *, clock: Clock = utc_now) -> None:
    """Renews until cancelled. What fails is tried again after a tenth of the time that is left."""
    while True:
        starts, ends = files.load().validity
        await asyncio.sleep(_wait(renewal_time(starts, ends) - clock()))
        try:
            await renew(files, issue)
        except AutomationError as error:
            left = ends - clock()
            log.warning("certificate not renewed", error=str(error), seconds_left=int(left.total_seconds()))
            await asyncio.sleep(_wait(left / 10))


async def renew(files: IdentityFiles, issue: CertificateIssuer) -> None:
    """Makes a key, has it signed, and replaces the files."""
    key = new_key()
    chain = await issue(new_csr(key))
    files.store(Identity(chain.certificate_pem, key_to_pem(key), chain.bundle_pem))
    log.info("certificate renewed", until=files.load().validity[1].isoformat())


def renewal_time(starts: datetime, ends: datetime) -> datetime:
    """Half of the life, plus or minus a tenth of it, so that a fleet does not come all at once."""
    return starts + (ends - starts) * (0.5 + random.uniform(-JITTER, JITTER))  # noqa: S311 - spreads load, no secret


def _wait(time: timedelta) -> float:
    return min(max(time, MIN_WAIT), MAX_WAIT).total_seconds()
