"""Calls by name over the mesh: found, balanced, retried, whatever dies."""

from __future__ import annotations

from typing import Any

import pytest

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
