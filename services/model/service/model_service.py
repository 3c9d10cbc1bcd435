"""ModelService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody

from automesh.mesh.caller import current_caller, current_tenant
from automesh.model.v1 import model_service_pb2 as pb
from automesh.model.v1 import model_service_pb2_grpc as rpc
from services.model.convert import gates, predictions
from services.model.convert import models as convert
from services.model.convert import versions as convert_versions
from services.model.domain.registry.comparison import check_count, compare
from services.model.domain.registry.promotion import Promotion
from services.model.domain.registry.registry import Registry
from services.model.domain.serving.prediction import Predictor

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(rpc.ModelServiceServicer):
    """Models, versions, aliases behind gates, and predictions."""

    def __init__(self, registry: Registry, promotion: Promotion, predictor: Predictor) -> None:
        self._registry = registry
        self._promotion = promotion
        self._predictor = predictor

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        model = await self._registry.get(current_tenant(), request.model_id)
        return pb.GetModelResponse(model=convert.model(model))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        query = convert.query(request)
        page, last = await self._registry.list(current_tenant(), query)
        return pb.ListModelsResponse(
            models=[convert.model(each) for each in page],
            next_page_token=convert.page_token(last, request) if last else "",
        )

    async def UpdateModel(self, request: pb.UpdateModelRequest, context: Context) -> pb.UpdateModelResponse:
        model = await self._registry.update(current_tenant(), request.model_id, convert.text(request.model))
        return pb.UpdateModelResponse(model=convert.model(model))

    async def DeleteModel(self, request: pb.DeleteModelRequest, context: Context) -> pb.DeleteModelResponse:
        await self._registry.delete(current_tenant(), request.model_id, force=request.force, reason=request.reason)
        return pb.DeleteModelResponse()

    async def GetModelVersion(self, request: pb.GetModelVersionRequest, context: Context) -> pb.GetModelVersionResponse:
        version = await self._registry.version(current_tenant(), request.model_id, request.version)
        return pb.GetModelVersionResponse(version=convert_versions.version(version))

    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, context: Context
    ) -> pb.ListModelVersionsResponse:
        limit, before = convert_versions.page(request)
        page, last = await self._registry.versions(current_tenant(), request.model_id, limit=limit, before=before)
        return pb.ListModelVersionsResponse(
            versions=[convert_versions.version(each) for each in page],
            next_page_token=convert_versions.page_token(last) if last else "",
        )

    async def SetAlias(self, request: pb.SetAliasRequest, context: Context) -> pb.SetAliasResponse:
        asked = convert.asked_move(request, tenant_id=current_tenant(), subject=current_caller().subject)
        model, results = await self._promotion.move(asked)
        return pb.SetAliasResponse(model=convert.model(model), results=gates.results(results))

    async def RemoveAlias(self, request: pb.RemoveAliasRequest, context: Context) -> pb.RemoveAliasResponse:
        who = current_caller().subject
        model = await self._promotion.remove(current_tenant(), request.model_id, request.alias, who)
        return pb.RemoveAliasResponse(model=convert.model(model))

    async def CheckGates(self, request: pb.CheckGatesRequest, context: Context) -> pb.CheckGatesResponse:
        verdict = await self._promotion.check(current_tenant(), request.model_id, request.version, request.alias)
        return pb.CheckGatesResponse(passed=verdict.passed, results=gates.results(verdict.results))

    async def ListAliasMoves(self, request: pb.ListAliasMovesRequest, context: Context) -> pb.ListAliasMovesResponse:
        limit, before = convert.moves_page(request)
        page, last = await self._registry.moves(current_tenant(), request.model_id, limit=limit, before=before)
        return pb.ListAliasMovesResponse(
            moves=[convert.move(each) for each in page],
            next_page_token=convert.moves_token(last, request) if last else "",
        )

    async def CompareVersions(self, request: pb.CompareVersionsRequest, context: Context) -> pb.CompareVersionsResponse:
        check_count(len(request.versions))
        tenant_id = current_tenant()
        versions = [await self._registry.version(tenant_id, each.model_id, each.version) for each in request.versions]
        return convert_versions.comparison(compare(versions))

    async def ExportModel(self, request: pb.ExportModelRequest, context: Context) -> AsyncGenerator[HttpBody, None]:
        tenant_id = current_tenant()
        file, chunks = await self._registry.export(tenant_id, request.model_id, request.version, request.name)
        async with aclosing(convert_versions.bodies(file, chunks)) as bodies:
            async for body in bodies:
                yield body

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        instances, version = predictions.instances(request), predictions.wanted(request)
        predicted = await self._predictor.predict(current_tenant(), request.model_id, version, instances)
        return predictions.response(predicted)
