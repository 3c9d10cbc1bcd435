"""ProtoJSON: the codec port, and the implementation that is compiled from descriptors."""

from gateway.codec.faults import BadValue
from gateway.codec.protojson import MessageCodec, ProtoJsonCodec

__all__ = ["BadValue", "MessageCodec", "ProtoJsonCodec"]
