"""Certificates are replaced while calls go on: the leaves, and the whole CA. No call may fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from automesh.mesh.bootstrap import REFRESH_INTERVAL
from automesh.testing.ca import ThrowawayCa

pytestmark = pytest.mark.mesh


async def everybody_renews(lab: Any) -> None:
    """A new certificate in every folder, as auth would write it."""
    for program in lab.programs:
        service = program.identity.load().spiffe_id.service
        lab.ca.service(service, folder=program.identity.folder)


async def everybody_has_looked() -> None:
    """gRPC's file watchers tell nobody when they look at the files again: twice their interval is all there is."""
    await asyncio.sleep(2 * float(REFRESH_INTERVAL.removesuffix("s")))


async def test_new_leaves_cost_no_call(lab: Any) -> None:
    await lab.control()
    await lab.echo("echo-1")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1"])
    await caller.do("begin")
    await everybody_renews(lab)
    await lab.echo("echo-2")  # must be dialled anew, with the new certificates
    await caller.do("until", by=["echo-1", "echo-2"])
    report = await caller.do("end")
    assert report["errors"] == {}


@pytest.mark.slow
async def test_a_whole_new_ca_costs_no_call(lab: Any) -> None:
    await lab.control()
    await lab.echo("echo-1")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1"])
    await caller.do("begin")

    # First everybody trusts both roots, still with leaves of the old one.
    old = lab.ca.issuer, lab.ca.root
    lab.ca.rotate_root()
    new = lab.ca.issuer, lab.ca.root
    lab.ca.issuer, lab.ca.root = old
    await everybody_renews(lab)
    await lab.echo("echo-2")
    await caller.do("until", by=["echo-1", "echo-2"])
    await everybody_has_looked()

    # Then the leaves are of the new one, and at last the old root is dropped.
    lab.ca.issuer, lab.ca.root = new
    await everybody_renews(lab)
    await lab.echo("echo-3")
    await caller.do("until", by=["echo-1", "echo-2", "echo-3"])
    await everybody_has_looked()
    lab.ca.bundle = [lab.ca.root.certificate]
    await everybody_renews(lab)
    await lab.echo("echo-4")
    await caller.do("until", by=["echo-1", "echo-2", "echo-3", "echo-4"])
    report = await caller.do("end")
    assert report["errors"] == {}


async def test_after_the_rotation_the_old_ca_opens_nothing(lab: Any) -> None:
    await lab.control()
    retired = ThrowawayCa(lab.folder / "retired")
    retired.root, retired.issuer, retired.bundle = lab.ca.root, lab.ca.issuer, list(lab.ca.bundle)
    lab.ca.rotate_root(keep_old=False)
    await everybody_renews(lab)
    await lab.echo("echo-1")
    late = await lab.caller(identity=retired.service("gateway", folder=lab.folder / "late"))
    report = await late.do("call", count=1)
    assert report["ok"] == 0
