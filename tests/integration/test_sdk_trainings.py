"""Trainings through the typed client, against a server that plays the model service and breaks off."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from automesh.core.errors import NotFound, Unavailable
from automesh.mesh.errors import abort
from automesh.model.v1 import run_pb2, training_pb2
from automesh.model.v1 import run_service_pb2 as pb
from automesh.model.v1 import run_service_pb2_grpc as rpc
from automesh.sdk import Client
from automesh.testing.orchestrator import FakeConnection

RUNNING, COMPLETED = run_pb2.RUN_STATE_RUNNING, run_pb2.RUN_STATE_COMPLETED


class Runs(rpc.RunServiceServicer):
    """One run of ten points; every stream breaks off after three updates."""

    def __init__(self) -> None:
        self.started: list[pb.StartTrainingRequest] = []
        self.asked: list[int] = []

    async def StartTraining(self, request: pb.StartTrainingRequest, context: Any) -> pb.StartTrainingResponse:
        self.started.append(request)
        return pb.StartTrainingResponse(model_id="model_1", run_id="run_1", task_id="task_1")

    async def WatchTraining(
        self, request: pb.WatchTrainingRequest, context: Any
    ) -> AsyncIterator[pb.WatchTrainingResponse]:
        if request.run_id != "run_1":
            await abort(context, NotFound("there is no such run"))
        self.asked.append(request.from_sequence)
        for sequence in range(request.from_sequence + 1, min(request.from_sequence + 4, 11)):
            state = COMPLETED if sequence == 10 else RUNNING
            yield pb.WatchTrainingResponse(update={"run_id": "run_1", "sequence": sequence, "state": state})
        if request.from_sequence + 4 < 11:
            await abort(context, Unavailable("restarting"))


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
async def client(runs: Runs) -> AsyncIterator[Client]:
    server = grpc.aio.server()
    rpc.add_RunServiceServicer_to_server(runs, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Client(FakeConnection(channel))
    await server.stop(None)


async def test_a_training_is_started_once(client: Client, runs: Runs) -> None:
    started = await client.train(training_pb2.TrainingSpec(name="sunspots"))
    assert (started.model_id, started.run_id, started.task_id) == ("model_1", "run_1", "task_1")
    assert runs.started[0].spec.name == "sunspots"
    assert runs.started[0].request_id
    await client.train(training_pb2.TrainingSpec(name="sunspots"), request_id="mine")
    assert runs.started[1].request_id == "mine"


async def test_a_watch_goes_on_after_the_last_point_seen_until_the_run_ends(client: Client, runs: Runs) -> None:
    seen = [update.sequence async for update in client.watch_training("run_1")]
    assert seen == list(range(1, 11))
    assert runs.asked == [0, 3, 6, 9]


async def test_a_watch_of_nothing_says_so(client: Client) -> None:
    with pytest.raises(NotFound):
        _ = [update async for update in client.watch_training("run_2")]
