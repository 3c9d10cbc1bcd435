"""InferenceService: the HTTP twin of the Open Inference Protocol, as the gateway serves it under /v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from automesh.mesh.caller import current_tenant
from automesh.model.v1 import inference_service_pb2 as pb
from automesh.model.v1 import inference_service_pb2_grpc as rpc
from services.model.domain.serving.versions import ServedVersion, TensorSpec, VersionSource
from services.model.serving.grpc_service import EXTENSIONS, MAX_LISTED, MAX_ROWS, SERVER_NAME
from services.model.serving.model_pool import ModelPool
from services.model.serving.tensors import GivenTensor, array_of, check_outputs, flat, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Context = grpc.aio.ServicerContext[Any, Any]
MAX_VALUES = 4_000_000  # more than a message can hold


class HttpInferenceServicer(rpc.InferenceServiceServicer):
    """The same pool as the gRPC form."""

    def __init__(self, pool: ModelPool, source: VersionSource, version: str) -> None:
        """`version`: of the server, for people."""
        self._pool, self._source, self._version = pool, source, version

    async def CheckLive(self, request: pb.CheckLiveRequest, context: Context) -> pb.CheckLiveResponse:
        return pb.CheckLiveResponse(live=True)

    async def CheckReady(self, request: pb.CheckReadyRequest, context: Context) -> pb.CheckReadyResponse:
        return pb.CheckReadyResponse(ready=True)

    async def GetServerMetadata(
        self, request: pb.GetServerMetadataRequest, context: Context
    ) -> pb.GetServerMetadataResponse:
        return pb.GetServerMetadataResponse(name=SERVER_NAME, version=self._version, extensions=EXTENSIONS)

    async def GetModelMetadata(
        self, request: pb.GetModelMetadataRequest, context: Context
    ) -> pb.GetModelMetadataResponse:
        tenant_id = current_tenant()
        served = await self._pool.describe(tenant_id, request.model_name, request.model_version)
        versions = await self._source.versions(tenant_id, served.model_id, most=MAX_LISTED)
        return pb.GetModelMetadataResponse(
            name=served.name,
            versions=[str(version) for version in versions],
            platform=self._pool.platform,
            inputs=[_metadata(served.input)],
            outputs=[_metadata(served.output)],
        )

    async def CheckModelReady(self, request: pb.CheckModelReadyRequest, context: Context) -> pb.CheckModelReadyResponse:
        loaded = await self._pool.find(current_tenant(), request.model_name, request.model_version)
        return pb.CheckModelReadyResponse(name=loaded.served.name, ready=True)

    async def Infer(self, request: pb.InferRequest, context: Context) -> pb.InferResponse:
        given = [_given(tensor) for tensor in request.inputs]
        wanted = [output.name for output in request.outputs]

        def rows_for(served: ServedVersion) -> NDArray[np.float32]:
            check_outputs(wanted, [served.output])
            return array_of(given, served.input, max_rows=MAX_ROWS)

        served, outputs = await self._pool.infer(current_tenant(), request.model_name, request.model_version, rows_for)
        response = pb.InferResponse(model_name=served.name, model_version=str(served.version), id=request.id)
        tensor = response.outputs.add(
            name=served.output.name, datatype=served.output.datatype, shape=[int(size) for size in outputs.shape]
        )
        tensor.data.extend(plain(outputs).ravel().tolist())
        return response


def _given(tensor: pb.InferTensor) -> GivenTensor:
    return GivenTensor(
        name=tensor.name,
        datatype=tensor.datatype,
        shape=tuple(tensor.shape),
        values=flat(_plain(tensor.data.values), most=MAX_VALUES),
    )


def _plain(values: Any) -> list[Any]:
    """protobuf Values as Python values; what is neither number nor list stays a Value, and is refused later."""
    plain: list[Any] = []
    for value in values:
        kind = value.WhichOneof("kind")
        if kind == "number_value":
            plain.append(value.number_value)
        elif kind == "list_value":
            plain.append(_plain(value.list_value.values))
        else:
            plain.append(getattr(value, kind) if kind and kind != "struct_value" else None)
    return plain


def _metadata(spec: TensorSpec) -> pb.TensorMetadata:
    return pb.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)
