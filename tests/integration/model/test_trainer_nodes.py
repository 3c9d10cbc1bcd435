"""Two nodes of one training: the one that hosts the meeting speaks for both, whoever came first."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from automesh.local.ports import free_port
from tests.integration.model.training_folder import LIMIT_S, Folder, of_kind

pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.mark.parametrize("order", [("host", "guest"), ("guest", "host")])
def test_the_node_that_hosts_speaks_for_all(order: tuple[str, str], tmp_path: Path) -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    said: dict[str, list[dict[str, object]]] = {}
    with ExitStack() as stack:
        processes = {}
        for name in order:
            folder = Folder(path=tmp_path / name, environment={"GLOO_SOCKET_IFNAME": "lo"})
            folder.path.mkdir()
            spec = {"resources": {"nodes": 2, "engine": "torchrun"}, "optimization": {"epochs": 2}}
            meeting = {"endpoint": endpoint, "id": "run_1.1", "nodes": 2, "host_here": name == "host"}
            processes[name] = stack.enter_context(folder.lay(spec, rendezvous=meeting).started())
        for name, process in processes.items():
            out, err = process.communicate(timeout=LIMIT_S)
            assert process.returncode == 0, err[-3000:]
            said[name] = [json.loads(line) for line in out.splitlines()]
    assert len(of_kind(said["host"], "done")) == 1
    assert said["guest"] == []
