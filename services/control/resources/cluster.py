"""The cluster of a service: round robin over its endpoints, by mutual TLS with a check of the SPIFFE id."""

from __future__ import annotations

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import RoutingPriority, TransportSocket
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateProviderPluginInstance,
    CertificateValidationContext,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import UInt32Value

from automesh.mesh.bootstrap import CERTIFICATE_PROVIDER
from services.control.resources.listener import packed

MAX_REQUESTS = 100_000
"""Calls in flight from one client to one service; gRPC's own default of 1,024 is too few for streams."""


def cluster(service: str, *, spiffe_id: str) -> Cluster:
    """Only a server that proves `spiffe_id` is talked to."""
    return Cluster(
        name=service,
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(
            eds_config=ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3),
            service_name=service,
        ),
        lb_policy=Cluster.ROUND_ROBIN,
        circuit_breakers=CircuitBreakers(
            thresholds=[
                CircuitBreakers.Thresholds(
                    priority=RoutingPriority.DEFAULT, max_requests=UInt32Value(value=MAX_REQUESTS)
                )
            ]
        ),
        transport_socket=_mutual_tls(spiffe_id),
    )


def _mutual_tls(spiffe_id: str) -> TransportSocket:
    provider = CertificateProviderPluginInstance(instance_name=CERTIFICATE_PROVIDER)
    context = UpstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_certificate_provider_instance=provider,
            validation_context=CertificateValidationContext(
                ca_certificate_provider_instance=provider,
                # Deprecated for Envoy, but the one that gRPC's C core reads.
                match_subject_alt_names=[StringMatcher(exact=spiffe_id)],
            ),
        )
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))
