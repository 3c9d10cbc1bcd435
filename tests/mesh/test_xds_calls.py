"""Calls by name over the mesh: found, balanced, retried, whatever dies."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from automesh.control.v1 import mesh_service_pb2, mesh_service_pb2_grpc
from automesh.mesh.bootstrap import control_socket

pytestmark = pytest.mark.mesh


async def test_a_service_is_found_by_its_name_and_its_processes_share_the_calls(lab: Any) -> None:
    await lab.control()
    await lab.echo("echo-1")
    await lab.echo("echo-2")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1", "echo-2"])
    report = await caller.do("call", count=100)
    assert report == {"ok": 100, "errors": {}, "by": {"echo-1": 50, "echo-2": 50}}


async def test_a_process_that_starts_later_gets_its_share(lab: Any) -> None:
    await lab.control()
    await lab.echo("echo-1")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1"])
    await lab.echo("echo-2")
    assert set((await caller.do("until", by=["echo-1", "echo-2"]))["by"]) == {"echo-1", "echo-2"}


async def test_callers_may_come_before_the_service_they_call(lab: Any) -> None:
    await lab.control()
    caller = await lab.caller()
    early = await caller.do("call", count=1)
    assert early["ok"] == 0
    assert [error for error in early["errors"] if error.startswith("UNAVAILABLE")], "it fails at once, with a reason"
    await lab.echo("echo-1")
    assert (await caller.do("until", by=["echo-1"]))["errors"] == {}


async def test_a_service_that_nobody_expected_is_found_once_it_appears(lab: Any) -> None:
    await lab.control()
    caller = await lab.caller(target="surprise")
    await lab.service("surprise-1", "surprise")
    assert (await caller.do("until", by=["surprise-1"]))["errors"] == {}


async def test_an_answer_of_unavailable_is_tried_elsewhere(lab: Any) -> None:
    await lab.control()
    await lab.echo("echo-1", AUTOMESH_FAIL_EVERY="3")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1"])
    report = await caller.do("call", count=60)
    assert report["ok"] == 60


async def test_a_killed_process_costs_no_call(lab: Any) -> None:
    await lab.control()
    await lab.echo("echo-1")
    second = await lab.echo("echo-2")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1", "echo-2"])
    await caller.do("begin")
    await second.kill()
    await caller.do("until", by=["echo-1"])
    report = await caller.do("end")
    assert report["errors"] == {}
    assert report["by"]["echo-1"] > 0


async def test_a_process_that_stops_in_good_order_costs_no_call(lab: Any) -> None:
    await lab.control()
    await lab.echo("echo-1")
    second = await lab.echo("echo-2")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1", "echo-2"])
    await caller.do("begin")
    assert await second.stop() == 0
    await caller.do("until", by=["echo-1"])
    report = await caller.do("end")
    assert report["errors"] == {}


async def test_calls_go_on_without_control_and_its_next_run_knows_old_and_new(lab: Any) -> None:
    control = await lab.control()
    await lab.echo("echo-1")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1"])
    await caller.do("begin")
    await control.kill()
    assert (await caller.do("call", count=50))["ok"] == 50
    await lab.control()
    await lab.echo("echo-2")
    await caller.do("until", by=["echo-1", "echo-2"])
    report = await caller.do("end")
    assert report["errors"] == {}
    assert set(report["by"]) == {"echo-1", "echo-2"}


async def test_control_stops_in_good_order_although_streams_are_open(lab: Any) -> None:
    control = await lab.control()
    await lab.echo("echo-1")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1"])
    assert await control.stop() == 0
    assert (await caller.do("call", count=20))["ok"] == 20


async def test_clients_of_this_host_may_take_their_configuration_from_the_unix_socket(lab: Any) -> None:
    await lab.control()
    await lab.echo("echo-1")
    socket = control_socket(lab.folder / "state" / "control")
    caller = await lab.caller(AUTOMESH_LOCAL_SOCKET=str(socket), AUTOMESH_CONTROL_ADDRESS="localhost:1")
    assert (await caller.do("until", by=["echo-1"]))["errors"] == {}


async def health(lab: Any) -> Any:
    held = lab.ca.service("gateway").load()
    credentials = grpc.ssl_channel_credentials(held.bundle_pem, held.key_pem, held.certificate_pem)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"localhost:{lab.port}", credentials, options=options) as channel:
        stub: Any = mesh_service_pb2_grpc.MeshServiceStub(channel)
        return await stub.GetHealth(mesh_service_pb2.GetHealthRequest(), timeout=10)


async def until_health_is(lab: Any, status: int) -> None:
    async with asyncio.timeout(20):
        while True:
            reply = await health(lab)
            assert not reply.services, "nobody signed in"
            if reply.status == status:
                return
            await asyncio.sleep(0.1)


async def test_the_health_of_the_whole_follows_the_services(lab: Any) -> None:
    await lab.control()
    await until_health_is(lab, mesh_service_pb2.HEALTH_STATUS_DEGRADED)
    echo = await lab.echo("echo-1")
    await until_health_is(lab, mesh_service_pb2.HEALTH_STATUS_SERVING)
    await echo.kill()
    await until_health_is(lab, mesh_service_pb2.HEALTH_STATUS_DEGRADED)
