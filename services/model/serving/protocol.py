"""The messages of the Open Inference Protocol v2, in a descriptor pool of their own.

A process can hold the proto package `inference` once in the default pool, and clients such as tritonclient
bring it too.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

SERVICE = "inference.GRPCInferenceService"


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    data = resources.files("automesh").joinpath("inference.binpb").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


@cache
def message(name: str) -> Any:
    """The class of a message of the protocol, for example "ModelInferRequest"."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"inference.{name}"))


def service() -> ServiceDescriptor:
    """The protocol's service, with the access rules of its methods."""
    return _pool().FindServiceByName(SERVICE)


def method(name: str) -> MethodDescriptor:
    """One of its methods."""
    return service().methods_by_name[name]
