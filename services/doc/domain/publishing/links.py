"""Links that open a site which is not for everybody, for a while: sealed, so that nobody can make one."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timedelta
from typing import Protocol

from automesh.core.clock import Clock
from automesh.core.errors import AutomationError
from services.doc.domain.publishing.errors import BadLink

PLACE = b"doc site link"
MAX_KEY = 1000


class Seal(Protocol):
    """Seals small values: see automesh.storage.sealing.Sealer."""

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """For one place."""
        ...

    def unseal(self, sealed: bytes, aad: bytes) -> bytes:
        """Raises an AutomationError when it was not sealed here."""
        ...


class LinkKeys:
    """Makes and reads the keys in links. `scope` is what one opens: the site of a space, or one release."""

    def __init__(self, seal: Seal, clock: Clock, *, ttl: timedelta) -> None:
        self._seal, self._clock, self.ttl = seal, clock, ttl

    def make(self, scope: str) -> str:
        """For a link, and for a cookie."""
        told = json.dumps([scope, (self._clock() + self.ttl).timestamp()])
        return base64.urlsafe_b64encode(self._seal.seal(told.encode(), PLACE)).decode().rstrip("=")

    def check(self, key: str, scope: str) -> datetime:
        """Until when it opens. Raises BadLink."""
        try:
            sealed = base64.urlsafe_b64decode(key[:MAX_KEY] + "=" * (-len(key) % 4))
            opened, until = json.loads(self._seal.unseal(sealed, PLACE))
        except (binascii.Error, ValueError, AutomationError) as error:
            raise BadLink("this link is none that was made here: ask for another") from error
        now = self._clock()
        ends = datetime.fromtimestamp(until, tz=now.tzinfo)
        if opened != scope or ends <= now:
            raise BadLink("this link does not open this any more: ask for another")
        return ends


def site_scope(tenant_id: str, space: str) -> str:
    """Of what readers of a space see."""
    return f"site {tenant_id} {space}"


def release_scope(release_id: str) -> str:
    """Of one release."""
    return f"release {release_id}"
