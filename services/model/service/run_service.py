"""RunService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from automesh.mesh.caller import current_caller
from automesh.model.v1 import run_service_pb2 as pb
from automesh.model.v1 import run_service_pb2_grpc as rpc
from services.model.convert import runs as convert
from services.model.convert import sweeps
from services.model.domain.runs.trainings import Trainings
from services.model.domain.sweeps.board import SweepBoard
from services.model.service.caller import tenant_of

Context = grpc.aio.ServicerContext[Any, Any]


class RunServicer(rpc.RunServiceServicer):
    """Trainings and sweeps, for people."""

    def __init__(self, trainings: Trainings, sweeps: SweepBoard) -> None:
        self._trainings = trainings
        self._sweeps = sweeps

    async def StartTraining(self, request: pb.StartTrainingRequest, context: Context) -> pb.StartTrainingResponse:
        caller = current_caller()
        order = convert.order(request, tenant_id=tenant_of(caller), subject=caller.subject)
        run = await self._trainings.start(order)
        return pb.StartTrainingResponse(model_id=run.model_id, run_id=run.run_id, task_id=run.task_id)

    async def TrainModel(
        self, request: pb.TrainModelRequest, context: Context
    ) -> AsyncGenerator[pb.TrainModelResponse, None]:
        caller = current_caller()
        order = convert.order(request, tenant_id=tenant_of(caller), subject=caller.subject)
        run = await self._trainings.start(order)
        async with aclosing(self._trainings.watch(run.tenant_id, run.run_id, 0)) as sights:
            async for sight in sights:
                yield pb.TrainModelResponse(update=convert.update(sight))

    async def WatchTraining(
        self, request: pb.WatchTrainingRequest, context: Context
    ) -> AsyncGenerator[pb.WatchTrainingResponse, None]:
        tenant_id, sequence = tenant_of(current_caller()), convert.sequence(request.from_sequence)
        async with aclosing(self._trainings.watch(tenant_id, request.run_id, sequence)) as sights:
            async for sight in sights:
                yield pb.WatchTrainingResponse(update=convert.update(sight))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        run = await self._trainings.get(tenant_of(current_caller()), request.run_id)
        return pb.GetRunResponse(run=convert.run(run))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        query = convert.query(request)
        runs = await self._trainings.list(tenant_of(current_caller()), query.one_more())
        return pb.ListRunsResponse(
            runs=[convert.run(run) for run in runs[: query.limit]],
            next_page_token=convert.page_token(runs[query.limit - 1], request) if len(runs) > query.limit else "",
        )

    async def ListMetrics(self, request: pb.ListMetricsRequest, context: Context) -> pb.ListMetricsResponse:
        after, limit = convert.points_page(request)
        points = await self._trainings.points(
            tenant_of(current_caller()), request.run_id, after=after, limit=limit, names=request.names
        )
        return pb.ListMetricsResponse(
            points=[convert.point(point) for point in points],
            next_sequence=points[-1].sequence if len(points) == limit else 0,
        )

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        caller = current_caller()
        run = await self._trainings.cancel(tenant_of(caller), caller.subject, request.run_id, request.reason)
        return pb.CancelRunResponse(run=convert.run(run))

    async def ResumeRun(self, request: pb.ResumeRunRequest, context: Context) -> pb.ResumeRunResponse:
        run = await self._trainings.resume(tenant_of(current_caller()), request.run_id, request.epochs)
        return pb.ResumeRunResponse(run=convert.run(run))

    async def StartSweep(self, request: pb.StartSweepRequest, context: Context) -> pb.StartSweepResponse:
        caller = current_caller()
        sweep = await self._sweeps.start(
            sweeps.new_sweep(request),
            tenant_id=tenant_of(caller),
            subject=caller.subject,
            request_id=request.request_id,
        )
        return pb.StartSweepResponse(sweep=sweeps.sweep(sweep))

    async def GetSweep(self, request: pb.GetSweepRequest, context: Context) -> pb.GetSweepResponse:
        sweep = await self._sweeps.get(tenant_of(current_caller()), request.sweep_id)
        return pb.GetSweepResponse(sweep=sweeps.sweep(sweep))

    async def CancelSweep(self, request: pb.CancelSweepRequest, context: Context) -> pb.CancelSweepResponse:
        caller = current_caller()
        sweep = await self._sweeps.cancel(tenant_of(caller), caller.subject, request.sweep_id)
        return pb.CancelSweepResponse(sweep=sweeps.sweep(sweep))
