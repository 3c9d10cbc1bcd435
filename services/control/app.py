"""Wires control: catalogue -> topology -> xDS, over mutual TLS and over a Unix socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from envoy.service.discovery.v3.ads_pb2_grpc import add_AggregatedDiscoveryServiceServicer_to_server

from automesh.control.v1 import mesh_service_pb2, mesh_service_pb2_grpc, registry_service_pb2, registry_service_pb2_grpc
from automesh.mesh.bootstrap import control_socket
from automesh.mesh.identity import SpiffeId
from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from services.control.clients.methods import repeatable_methods
from services.control.clients.probe import GrpcHealthProbe
from services.control.domain.instance import Instance
from services.control.domain.observatory import Observatory
from services.control.domain.ports import Catalogue
from services.control.domain.topology import Topology
from services.control.loops.follow import follow
from services.control.loops.resolve import Resolver
from services.control.service.ads import AdsServicer
from services.control.service.local_socket import serve_local_socket
from services.control.service.mesh import MeshServicer
from services.control.service.registry import RegistryServicer
from services.control.settings import Settings
from services.control.store.embedded import EmbeddedCatalogue
from services.control.store.memory import FileMemory
from services.control.store.own_registration import OwnRegistration

MEMORY_FILE = "control/catalogue.json"


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """See automesh.mesh.process.run."""
    memory = FileMemory(settings.state_dir / MEMORY_FILE)
    topology = Topology(settings.expected, spiffe_id=_spiffe_ids(settings))
    remembered = memory.load()
    catalogue, registration = _catalogue(settings, mesh, remembered)
    if remembered:
        topology.update(remembered)
    observatory = Observatory(
        topology, GrpcHealthProbe(mesh.channel), expected=settings.expected, essential=settings.essential
    )
    ads = AdsServicer(topology, repeatable=repeatable_methods())
    mesh.before_server.append(lambda server: add_AggregatedDiscoveryServiceServicer_to_server(ads, server))
    mesh.spawn(follow(catalogue, topology, memory, Resolver()), "follow the catalogue")
    mesh.spawn(_close_with(mesh, topology), "end xDS streams")
    async with serve_local_socket(ads, settings.socket_path or control_socket(settings.state_dir)):
        yield [
            Bound(
                mesh_service_pb2.DESCRIPTOR.services_by_name["MeshService"],
                mesh_service_pb2_grpc.add_MeshServiceServicer_to_server,
                MeshServicer(topology, observatory, registry=catalogue.name),
            ),
            *registration,
        ]


def _spiffe_ids(settings: Settings) -> Callable[[str], str]:
    def spiffe_id(service: str) -> str:
        return str(SpiffeId.for_service(settings.trust_domain, settings.environment, service))

    return spiffe_id


def _catalogue(settings: Settings, mesh: Mesh, remembered: Sequence[Instance]) -> tuple[Catalogue, Sequence[Bound]]:
    """The catalogue, and the servicer through which processes register in it, if that is ours."""
    if settings.registry == "consul":
        # Its client brings aiohttp and requests; only those pay for them who use them.
        from services.control.clients.consul import ConsulCatalogue  # noqa: PLC0415 - 10 MiB, for Consul only

        consul = ConsulCatalogue(
            settings.consul_address,
            token_file=settings.consul_token_file,
            ca_file=settings.consul_ca_file,
            remembered=remembered,
        )
        return consul, ()
    embedded = EmbeddedCatalogue(remembered)
    mesh.registry = OwnRegistration(embedded)
    servicer = RegistryServicer(embedded, stopping=mesh.stopping)
    descriptor = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]
    return embedded, (Bound(descriptor, registry_service_pb2_grpc.add_RegistryServiceServicer_to_server, servicer),)


async def _close_with(mesh: Mesh, topology: Topology) -> None:
    """xDS streams have no end of their own: without this they would hold up the stop until the drain time is over."""
    await mesh.stopping.wait()
    topology.close()
