"""inference.GRPCInferenceService: what clients of the Open Inference Protocol, such as tritonclient, speak."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import grpc

from automesh.core.errors import AutomationError, Kind, ValidationError
from automesh.mesh.caller import current_tenant
from automesh.mesh.server import Bound
from services.model.domain.serving.versions import ServedVersion, TensorSpec, VersionSource
from services.model.serving import protocol
from services.model.serving.loaded import LoadedVersion
from services.model.serving.model_pool import ModelPool
from services.model.serving.tensors import GivenTensor, array_of, check_outputs
from services.model.serving.triton import index_of, statistics_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Context = grpc.aio.ServicerContext[Any, Any]

MAX_ROWS = 1024
MAX_LISTED = 1000
SERVER_NAME = "automesh"
EXTENSIONS = ("model_repository", "statistics")
_REPOSITORIES = frozenset({"", SERVER_NAME})


class GrpcInferenceServicer:
    """Translates, asks the pool, translates back. Answers are raw, as some clients read nothing else."""

    def __init__(self, pool: ModelPool, source: VersionSource, version: str) -> None:
        """`version`: of the server, for people."""
        self._pool, self._source, self._version = pool, source, version

    async def ServerLive(self, request: Any, context: Context) -> Any:
        return protocol.message("ServerLiveResponse")(live=True)

    async def ServerReady(self, request: Any, context: Context) -> Any:
        return protocol.message("ServerReadyResponse")(ready=True)

    async def ServerMetadata(self, request: Any, context: Context) -> Any:
        return protocol.message("ServerMetadataResponse")(
            name=SERVER_NAME, version=self._version, extensions=EXTENSIONS
        )

    async def ModelReady(self, request: Any, context: Context) -> Any:
        try:
            await self._pool.find(current_tenant(), request.name, request.version)
            ready = True
        except AutomationError as error:
            if error.kind not in {Kind.NOT_FOUND, Kind.UNAVAILABLE}:
                raise
            ready = False
        return protocol.message("ModelReadyResponse")(ready=ready)

    async def ModelMetadata(self, request: Any, context: Context) -> Any:
        tenant_id = current_tenant()
        served = await self._pool.describe(tenant_id, request.name, request.version)
        versions = await self._source.versions(tenant_id, served.model_id, most=MAX_LISTED)
        return protocol.message("ModelMetadataResponse")(
            name=served.name,
            versions=[str(version) for version in versions],
            platform=self._pool.platform,
            inputs=[_metadata(served.input)],
            outputs=[_metadata(served.output)],
        )

    async def ModelInfer(self, request: Any, context: Context) -> Any:
        return await self._infer(current_tenant(), request)

    async def ModelStreamInfer(self, request_iterator: AsyncIterator[Any], context: Context) -> AsyncGenerator[Any]:
        tenant_id = current_tenant()
        response = protocol.message("ModelStreamInferResponse")
        async for request in request_iterator:
            try:
                yield response(infer_response=await self._infer(tenant_id, request))
            except AutomationError as error:
                yield response(error_message=error.message)

    async def ModelStatistics(self, request: Any, context: Context) -> Any:
        tenant_id = current_tenant()
        mine = [loaded for loaded in self._pool.loaded if loaded.served.tenant_id == tenant_id]
        asked = [loaded for loaded in mine if _is_asked(loaded, request.name, request.version)]
        return protocol.message("ModelStatisticsResponse")(model_stats=[statistics_of(loaded) for loaded in asked])

    async def RepositoryIndex(self, request: Any, context: Context) -> Any:
        _check_repository(request.repository_name)
        tenant_id = current_tenant()
        listed = await self._source.listed(tenant_id, most=MAX_LISTED)
        return index_of(listed, self._pool, only_ready=request.ready)

    async def RepositoryModelLoad(self, request: Any, context: Context) -> Any:
        _check_repository(request.repository_name)
        await self._pool.load(current_tenant(), request.model_name)
        return protocol.message("RepositoryModelLoadResponse")()

    async def RepositoryModelUnload(self, request: Any, context: Context) -> Any:
        _check_repository(request.repository_name)
        await self._pool.unload(current_tenant(), request.model_name)
        return protocol.message("RepositoryModelUnloadResponse")()

    async def _infer(self, tenant_id: str, request: Any) -> Any:
        given = given_tensors(request)
        wanted = [output.name for output in request.outputs]

        def rows_for(served: ServedVersion) -> NDArray[np.float32]:
            check_outputs(wanted, [served.output])
            return array_of(given, served.input, max_rows=MAX_ROWS)

        served, outputs = await self._pool.infer(tenant_id, request.model_name, request.model_version, rows_for)
        response = protocol.message("ModelInferResponse")(
            model_name=served.name, model_version=str(served.version), id=request.id
        )
        response.outputs.add(name=served.output.name, datatype=served.output.datatype, shape=outputs.shape)
        response.raw_output_contents.append(outputs.astype("<f4", copy=False).tobytes())
        return response


def given_tensors(request: Any) -> list[GivenTensor]:
    """The inputs of a ModelInferRequest, raw or as contents. Raises ValidationError when they are mixed."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise ValidationError(
            f"{len(request.inputs)} inputs came with {len(raw)} entries in raw_input_contents: one for each is needed",
            field="raw_input_contents",
        )
    if raw and any(tensor.HasField("contents") for tensor in request.inputs):
        raise ValidationError(
            "an input has contents although raw_input_contents is used: use one of the two", field="inputs.contents"
        )
    return [
        GivenTensor(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=tuple(tensor.shape),
            raw=raw[position] if raw else None,
            values=None if raw else tensor.contents.fp32_contents,
        )
        for position, tensor in enumerate(request.inputs)
    ]


def bound(servicer: GrpcInferenceServicer) -> Bound:
    """The servicer with its descriptor; the protocol has no generated code."""
    return Bound(protocol.service(), _add_to_server, servicer)


def _add_to_server(servicer: Any, server: grpc.aio.Server) -> None:
    handlers = {method.name: _handler(method, getattr(servicer, method.name)) for method in protocol.service().methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(protocol.SERVICE, handlers),))


def _handler(method: Any, behaviour: Callable[..., Any]) -> grpc.RpcMethodHandler[Any, Any]:
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    return make(
        behaviour,
        request_deserializer=protocol.message(method.input_type.name).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


def _metadata(spec: TensorSpec) -> Any:
    tensor = protocol.message("ModelMetadataResponse").TensorMetadata
    return tensor(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def _is_asked(loaded: LoadedVersion, name: str, version: str) -> bool:
    served = loaded.served
    return name in {"", served.name, served.model_id} and version in {"", str(served.version)}


def _check_repository(name: str) -> None:
    if name not in _REPOSITORIES:
        raise ValidationError(f"there is no repository {name!r}: leave the name empty", field="repository_name")
