"""Trainings, as a program sees them: started, and watched to their end whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from automesh.core.backoff import Backoff
from automesh.core.errors import Unavailable
from automesh.core.ids import new_id
from automesh.mesh.errors import translating_errors
from automesh.model.v1 import run_pb2, training_pb2
from automesh.model.v1 import run_service_pb2 as pb
from automesh.model.v1 import run_service_pb2_grpc as rpc
from automesh.sdk.connection import Connection

ENDED = frozenset({run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED})


class Trainings:
    """Made from a `Connection`; keeps nothing of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = rpc.RunServiceStub(connection.channel("model"))

    async def start(self, spec: training_pb2.TrainingSpec, *, request_id: str = "") -> pb.StartTrainingResponse:
        """Starts a training; returns the ids of model, run and task. With a `request_id` it is safe to repeat."""
        request = pb.StartTrainingRequest(spec=spec, request_id=request_id or new_id("once"))
        metadata = await self._connection.metadata()
        with translating_errors():
            return await self._stub.StartTraining(request, metadata=metadata)

    async def watch(self, run_id: str, from_sequence: int = 0) -> AsyncGenerator[run_pb2.RunUpdate, None]:
        """How the run stands now, then its points and progress, until it has ended.

        A lost connection is made again and goes on after the last point seen.
        """
        backoff = Backoff(first_s=0.2, most_s=5.0)
        while True:
            request = pb.WatchTrainingRequest(run_id=run_id, from_sequence=from_sequence)
            try:
                with translating_errors():
                    async for message in self._stub.WatchTraining(request, metadata=await self._connection.metadata()):
                        update = message.update
                        from_sequence = max(from_sequence, update.sequence)
                        backoff.reset()
                        yield update
                        if update.state in ENDED:
                            return
            except Unavailable:
                pass
            await asyncio.sleep(backoff.next_s())
