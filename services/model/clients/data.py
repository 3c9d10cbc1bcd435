"""The data service, as runs and gates need it."""

from __future__ import annotations

import grpc

from automesh.data.v1 import (
    data_service_pb2,
    data_service_pb2_grpc,
    dataset_pb2,
    pipeline_pb2,
    processing_service_pb2,
    processing_service_pb2_grpc,
)
from automesh.mesh.acting import acting_for
from automesh.mesh.errors import translating_errors
from services.model.domain.training.data_view import ColumnView, DataView, PartView


class DataService:
    """A services.model.domain.run_ports.Datasets."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._data = data_service_pb2_grpc.DataServiceStub(channel)
        self._processing = processing_service_pb2_grpc.ProcessingServiceStub(channel)

    async def version(self, tenant_id: str, subject: str, data_id: str, version: int) -> DataView:
        """GetDatasetVersion, acting for whoever wants the training."""
        request = data_service_pb2.GetDatasetVersionRequest(data_id=data_id, version=version)
        with translating_errors(), acting_for(tenant_id, subject):
            answer = await self._data.GetDatasetVersion(request)
        return view(answer.version)

    async def add_dependent(
        self, tenant_id: str, subject: str, data_id: str, version: int, *, model_id: str, model_version: int
    ) -> None:
        """AddDependent."""
        request = processing_service_pb2.AddDependentRequest(
            data_id=data_id, version=version, model_id=model_id, model_version=model_version
        )
        with translating_errors(), acting_for(tenant_id, subject):
            await self._processing.AddDependent(request)


def view(version: dataset_pb2.DatasetVersion) -> DataView:
    """What the model service sees of a version."""
    return DataView(
        data_id=version.data_id,
        version=version.version,
        state=dataset_pb2.VersionState.Name(version.state).removeprefix("VERSION_STATE_"),
        columns=tuple(ColumnView(each.name, _type(each.type)) for each in version.columns),
        parts=tuple(PartView(each.name, each.rows, each.windows, each.series) for each in version.parts),
        window=version.window.length,
        stride=version.window.stride,
        horizon=version.window.horizon,
        digest=version.digest,
        failure=version.failure.message,
    )


def _type(number: pipeline_pb2.ColumnType.ValueType) -> str:
    return pipeline_pb2.ColumnType.Name(number).removeprefix("COLUMN_TYPE_")
