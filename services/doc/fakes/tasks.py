"""The orchestrator in memory, as far as leases go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.doc.domain.transfer.desk import DOCUMENTATION
from services.doc.domain.transfer.errors import DocumentationLeaseLost
from services.doc.domain.transfer.ports import Lease


class FakeTasks:
    """A services.doc.domain.transfer.ports.Tasks whose tasks a test leases and ends."""

    def __init__(self) -> None:
        self._leases: dict[bytes, Lease] = {}
        self.asked = 0
        """How often a lease was looked at."""
        self.lose_after = 0
        """Every lease is lost once it was looked at so often; 0: never."""

    def take(
        self,
        given: Mapping[str, Any],
        *,
        task_type: str = DOCUMENTATION,
        tenant_id: str = "default",
        created_by: str = "user_ann",
    ) -> bytes:
        """The token of a new task's lease."""
        task_id = f"task_{len(self._leases) + 1}"
        lease = Lease(tenant_id, task_id, task_type, 1, created_by, given)
        token = f"{task_id}#1".encode()
        self._leases[token] = lease
        return token

    def again(self, token: bytes) -> bytes:
        """The task goes to somebody else: the token of before is worth nothing."""
        lease = replace(self._leases.pop(token), attempt=2)
        other = f"{lease.task_id}#2".encode()
        self._leases[other] = lease
        return other

    async def lease(self, token: bytes) -> Lease:
        """See the port."""
        self.asked += 1
        if token not in self._leases or (self.lose_after and self.asked > self.lose_after):
            raise DocumentationLeaseLost("the lease is over")
        return self._leases[token]
