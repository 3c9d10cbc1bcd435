"""All resources of a snapshot, by type and name, made once however many clients there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from services.control.domain.snapshot import Snapshot
from services.control.resources.cluster import cluster
from services.control.resources.endpoints import endpoints
from services.control.resources.listener import listener, packed

_PREFIX = "type.googleapis.com/envoy.config"
LISTENER = f"{_PREFIX}.listener.v3.Listener"
CLUSTER = f"{_PREFIX}.cluster.v3.Cluster"
ENDPOINTS = f"{_PREFIX}.endpoint.v3.ClusterLoadAssignment"
TYPES = (CLUSTER, ENDPOINTS, LISTENER)
"""In the order in which they are sent: what is pointed at before what points at it."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource ready to send. `revision` changes exactly when its content does."""

    revision: int
    body: Any


Bundle = Mapping[str, Mapping[str, Resource]]
"""Type URL -> name -> resource."""


class BundleMaker:
    """Makes bundles, and keeps the revision of what did not change."""

    def __init__(self, spiffe_id: Callable[[str], str], *, repeatable: Sequence[str] = ()) -> None:
        self._spiffe_id, self._repeatable = spiffe_id, repeatable
        self._revisions = count(1)
        self._version = -1
        self._bundle: dict[str, dict[str, Resource]] = {kind: {} for kind in TYPES}

    def bundle(self, snapshot: Snapshot) -> Bundle:
        """The resources of this snapshot."""
        if snapshot.version != self._version:
            self._bundle = {
                LISTENER: self._renewed(
                    LISTENER, {name: listener(name, repeatable=self._repeatable) for name in snapshot.services}
                ),
                CLUSTER: self._renewed(
                    CLUSTER, {name: cluster(name, spiffe_id=self._spiffe_id(name)) for name in snapshot.services}
                ),
                ENDPOINTS: self._renewed(
                    ENDPOINTS, {name: endpoints(name, snapshot.endpoints(name)) for name in snapshot.services}
                ),
            }
            self._version = snapshot.version
        return self._bundle

    def _renewed(self, kind: str, messages: Mapping[str, Message]) -> dict[str, Resource]:
        before = self._bundle[kind]
        out = {}
        for name, message in messages.items():
            body, old = packed(message), before.get(name)
            out[name] = old if old and old.body == body else Resource(next(self._revisions), body)
        return out
