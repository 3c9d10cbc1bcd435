"""One client's side of the aggregated discovery protocol, state of the world. Pure: no stream, no waiting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from automesh.core.errors import ValidationError
from services.control.resources.bundle import CLUSTER, LISTENER, TYPES, Bundle, Resource

MAX_NAMES = 10_000
_WHOLE_WORLD = frozenset({LISTENER, CLUSTER})
"""Types of which a response tells everything: a name that is missing has been taken away."""


@dataclass(frozen=True, slots=True)
class Nack:
    """A client refused what it was sent; it goes on with what it had."""

    type_url: str
    version: str
    message: str


@dataclass(slots=True)
class _Subscription:
    names: frozenset[str] = frozenset()
    wildcard: bool = False
    nonce: str = ""
    version: str = ""
    sent: dict[str, int] = field(default_factory=dict)  # name -> revision

    def wanted(self, resources: Mapping[str, Resource]) -> Mapping[str, Resource]:
        if self.wildcard:
            return resources
        return {name: resources[name] for name in self.names if name in resources}


class AdsStream:
    """What a client has subscribed to, and what it has already been sent."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._count = 0
        self._subscriptions: dict[str, _Subscription] = {}

    def take(self, request: DiscoveryRequest) -> Nack | None:
        """Reads a subscription, an ACK or a NACK. What speaks of an older response than the last is ignored."""
        if request.type_url not in TYPES:
            return None
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            subscription = _Subscription(wildcard=request.type_url in _WHOLE_WORLD and not request.resource_names)
            self._subscriptions[request.type_url] = subscription
        elif request.response_nonce != subscription.nonce:
            return None
        self._subscribe(subscription, request)
        if request.HasField("error_detail"):
            return Nack(request.type_url, subscription.version, request.error_detail.message[:500])
        return None

    def due(self, bundle: Bundle) -> Iterator[DiscoveryResponse]:
        """The responses to send now. Nothing that was sent already, refused or not, is sent again."""
        for type_url in TYPES:
            subscription = self._subscriptions.get(type_url)
            if subscription is None:
                continue
            wanted = subscription.wanted(bundle[type_url])
            revisions = {name: resource.revision for name, resource in wanted.items()}
            if revisions != subscription.sent:
                yield self._response(type_url, subscription, wanted, revisions)

    def _response(
        self, type_url: str, subscription: _Subscription, wanted: Mapping[str, Resource], revisions: dict[str, int]
    ) -> DiscoveryResponse:
        self._count += 1
        subscription.sent = revisions
        subscription.nonce = subscription.version = f"{self._epoch}.{self._count}"
        return DiscoveryResponse(
            version_info=subscription.version,
            nonce=subscription.nonce,
            type_url=type_url,
            resources=[wanted[name].body for name in sorted(wanted)],
        )

    @staticmethod
    def _subscribe(subscription: _Subscription, request: DiscoveryRequest) -> None:
        if len(request.resource_names) > MAX_NAMES:
            raise ValidationError(
                f"{len(request.resource_names)} names are more than {MAX_NAMES}", field="resource_names"
            )
        if request.resource_names:
            subscription.wildcard = False
        subscription.names = frozenset(request.resource_names)
        if not subscription.wildcard:
            # What it unsubscribed from it forgets; should it come back for it, it is sent anew.
            subscription.sent = {
                name: revision for name, revision in subscription.sent.items() if name in subscription.names
            }
