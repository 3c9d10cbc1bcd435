"""What the data service knows of training data: histograms, for the drift gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc

from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import data_service_pb2_grpc as rpc
from automesh.data.v1 import dataset_pb2
from automesh.mesh.acting import acting_for
from automesh.mesh.errors import translating_errors
from services.model.domain.registry.drift import ColumnShape


class GrpcStatistics:
    """A services.model.domain.registry_ports.DataStatistics."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.DataServiceStub(channel)

    async def columns(self, tenant_id: str, data_id: str, version: int) -> Mapping[str, ColumnShape]:
        """Those of the first part, which is what was trained on."""
        request = pb.GetStatisticsRequest(data_id=data_id, version=version)
        with acting_for(tenant_id), translating_errors():
            answer: pb.GetStatisticsResponse = await self._stub.GetStatistics(request)
        return shapes(answer.columns)


def shapes(columns: Sequence[dataset_pb2.ColumnStatistics]) -> dict[str, ColumnShape]:
    """Distributions by column; how many rows there are, the numeric ones tell."""
    rows = max((sum(each.histogram.counts) + each.nulls for each in columns), default=0)
    return {
        each.column: ColumnShape(
            edges=tuple(each.histogram.edges),
            counts=tuple(each.histogram.counts),
            top={value.value: value.count for value in each.top},
            nulls=each.nulls,
            rows=rows,
        )
        for each in columns
    }
