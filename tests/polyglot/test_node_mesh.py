"""Node.js in the mesh: unmodified @grpc/grpc-js finds services through control, balances, and checks who answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from automesh.mesh.bootstrap import control_socket, local_xds_bootstrap
from automesh.mesh.identity import Identity, IdentityFiles
from automesh.testing.ca import ThrowawayCa
from tests.mesh.impostor import impostor, stored

pytestmark = [pytest.mark.node, pytest.mark.mesh]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).parent / "programs" / "caller.mjs"
GATEWAY = "spiffe://automesh.local/ns/dev/sa/gateway"
ECHO = "spiffe://automesh.local/ns/dev/sa/echo"

NodeCaller = Callable[..., Awaitable[Any]]


@pytest.fixture
def node_caller(lab: Any, node_binary: Path, javascript: Path) -> NodeCaller:
    """Starts the Node client; it is told everything by its xDS bootstrap."""
    program = Path(shutil.copy(PROGRAM, javascript))

    async def start(identity: IdentityFiles | None = None) -> Any:
        files = identity or lab.ca.service("gateway")
        bootstrap = local_xds_bootstrap(
            socket_path=str(control_socket(lab.folder / "state" / "control")),
            identity=files,
            instance_id="node-1",
            service="gateway",
        )
        command = [str(node_binary), str(program), str(ROOT / "proto"), "echo"]
        return await lab.caller(identity=files, command=command, GRPC_XDS_BOOTSTRAP_CONFIG=json.dumps(bootstrap))

    return start


async def refusal(caller: Any) -> str:
    """Calls until one fails because no connection could be made; not because nothing was found yet."""
    report: dict[str, Any] = {}
    for _ in range(100):
        report = await caller.do("call", count=1)
        assert report["ok"] == 0
        for error in report["errors"]:
            if "No connection established" in error:
                return str(error)
    raise AssertionError(f"no connection was refused: {report}")


async def test_node_finds_a_service_by_its_name_and_its_processes_share_the_calls(
    lab: Any, node_caller: NodeCaller
) -> None:
    await lab.control()
    await lab.echo("echo-1")
    await lab.echo("echo-2")
    caller = await node_caller()
    await caller.do("until", by=["echo-1", "echo-2"])
    report = await caller.do("call", count=100)
    assert report == {"ok": 100, "errors": {}, "by": {"echo-1": 50, "echo-2": 50}}


async def test_node_uses_a_process_that_starts_later_and_leaves_a_killed_one(lab: Any, node_caller: NodeCaller) -> None:
    await lab.control()
    first = await lab.echo("echo-1")
    caller = await node_caller()
    await caller.do("until", by=["echo-1"])
    await lab.echo("echo-2")
    await caller.do("until", by=["echo-1", "echo-2"])
    await first.kill()
    assert (await caller.do("until", by=["echo-2"]))["errors"] == {}


async def test_node_with_a_certificate_of_another_ca_is_refused(
    lab: Any, node_caller: NodeCaller, tmp_path: Path
) -> None:
    await lab.control()
    await lab.echo("echo-1")
    foreign = ThrowawayCa(tmp_path / "other").identity([GATEWAY])
    # It trusts our CA, so that only the backend can be the one that refuses.
    mixed = Identity(foreign.certificate_pem, foreign.key_pem, lab.ca.bundle_pem)
    stranger = await node_caller(stored(tmp_path / "stranger", mixed))
    assert "Failed to connect" in await refusal(stranger)
    assert (await (await node_caller()).do("until", by=["echo-1"]))["errors"] == {}


async def refused_by_node(lab: Any, node_caller: NodeCaller, files: IdentityFiles) -> str:
    await lab.control()
    caller = await node_caller()
    async with impostor(lab, files):
        why = await refusal(caller)
        await lab.echo("echo-1")
        await caller.do("until", by=["echo-1"])
    return why


async def test_node_refuses_a_backend_of_another_ca(lab: Any, node_caller: NodeCaller, tmp_path: Path) -> None:
    foreign = ThrowawayCa(tmp_path / "other").identity([ECHO])
    # It trusts our CA, so that only Node can be the one that refuses.
    mixed = Identity(foreign.certificate_pem, foreign.key_pem, lab.ca.bundle_pem)
    assert "certificate" in await refused_by_node(lab, node_caller, stored(tmp_path / "impostor", mixed))


async def test_node_refuses_a_backend_of_another_service(lab: Any, node_caller: NodeCaller, tmp_path: Path) -> None:
    wrong = lab.ca.identity(["spiffe://automesh.local/ns/dev/sa/agent"])
    why = await refused_by_node(lab, node_caller, stored(tmp_path / "impostor", wrong))
    assert "No matching subject alternative name" in why
