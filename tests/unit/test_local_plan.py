"""What a local stack consists of, and what each of its processes is told."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from automesh.local.consul import find_consul
from automesh.local.options import StackOptions
from automesh.local.plan import INIT, Plan, make_plan
from automesh.local.ports import PortRefused
from automesh.local.program import Program, StackError
from automesh.local.settings import LocalSettings
from automesh.local.state import LocalState

NO_PATH = {"PATH": "/nowhere"}


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    state = LocalState(tmp_path / "state")
    state.prepare()
    return state


@pytest.fixture
def no_consul(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("automesh.local.backing.find_consul", lambda: None)


@pytest.fixture
def some_consul(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    binary = tmp_path / "consul"
    monkeypatch.setattr("automesh.local.backing.find_consul", lambda: binary)
    return binary


def planned(
    state: LocalState,
    environment: Mapping[str, str] | None = None,
    *,
    settings: LocalSettings | None = None,
    **options: object,
) -> Plan:
    given = {"port": 0, "control_port": 0, "registry": "embedded", **options}
    wanted = StackOptions(state_dir=state.folder, **given)  # type: ignore[arg-type]
    return make_plan(state, wanted, settings or LocalSettings(), environment or NO_PATH)


def by_name(plan: Plan) -> dict[str, Program]:
    return {program.name: program for program in plan.programs}


def test_databases_wait_for_nothing_and_who_keeps_data_waits_for_them(state: LocalState) -> None:
    programs = by_name(planned(state))
    assert list(programs) == [
        *("postgres", "redis", "control", "auth", "orchestrator", "data", "doc", "model", "agent", "gateway")
    ]
    assert programs["postgres"].needs == frozenset()
    for name in ("auth", "orchestrator", "data", "doc", "model"):
        assert programs[name].needs == {INIT, "postgres", "redis"}
    assert programs["control"].needs == programs["gateway"].needs == programs["agent"].needs == {INIT}


def test_whoever_leaves_the_registry_or_gives_work_back_is_stopped_before_who_is_told(state: LocalState) -> None:
    programs = by_name(planned(state, agents=2))
    assert programs["gateway"].uses >= {
        "agent-1",
        "agent-2",
        "data",
        "model",
        "orchestrator",
        "auth",
        "control",
        "consul",
    }
    assert programs["agent-1"].uses >= {"data", "model", "orchestrator", "auth", "control", "consul"}
    assert programs["model"].uses >= {"data", "orchestrator", "auth", "control", "consul"}
    assert programs["data"].uses >= {"orchestrator", "auth", "control", "consul"}
    assert programs["orchestrator"].uses >= {"auth", "control", "consul"}
    assert programs["auth"].uses >= {"control", "consul"}
    assert programs["control"].uses == {"consul"}


def test_each_service_has_its_own_identity_and_any_free_port(state: LocalState) -> None:
    plan = planned(state)
    programs = by_name(plan)
    for service in ("auth", "orchestrator", "data", "doc", "model", "agent", "gateway"):
        assert programs[service].env["AUTOMESH_IDENTITY_DIR"] == str(state.identities(service))
        assert programs[service].env["AUTOMESH_LISTEN_PORT"] == "0"
    assert programs["control"].env["AUTOMESH_LISTEN_PORT"] == str(plan.control_port)
    assert programs["gateway"].env["AUTOMESH_GATEWAY_PORT"] == str(plan.gateway_port)
    assert programs["auth"].env["AUTOMESH_CONTROL_ADDRESS"] == f"localhost:{plan.control_port}"


def test_settings_of_one_process_are_not_told_to_all(state: LocalState) -> None:
    outside = {"AUTOMESH_SERVICE": "evil", "AUTOMESH_INSTANCE_ID": "same", "AUTOMESH_METRICS_PORT": "9000"}
    for program in planned(state, {**NO_PATH, **outside, "AUTOMESH_SLOTS": "9"}).programs:
        assert not outside.keys() & program.env.keys()


def test_what_people_set_for_services_reaches_them(state: LocalState) -> None:
    told = {"AUTOMESH_QUEUE_LIMIT": "7", "AUTOMESH_BLOBS_URL": "s3://files", "LANG": "C.UTF-8"}
    programs = by_name(planned(state, {**NO_PATH, **told}))
    assert told.items() <= programs["orchestrator"].env.items()


def test_databases_of_ones_own_are_used_and_none_is_started(state: LocalState) -> None:
    settings = LocalSettings(postgres_dsn="postgresql://own/db", redis_url="redis://own")
    programs = by_name(planned(state, settings=settings))
    assert "postgres" not in programs
    assert "redis" not in programs
    assert programs["auth"].needs == {INIT}
    assert programs["auth"].env["AUTOMESH_POSTGRES_DSN"] == "postgresql://own/db"
    assert programs["orchestrator"].env["AUTOMESH_REDIS_URL"] == "redis://own"
    for service in ("data", "doc", "model"):
        assert programs[service].env["AUTOMESH_POSTGRES_DSN"] == "postgresql://own/db"
        assert programs[service].env["AUTOMESH_KEYRING_FILE"] == str(state.keyring)
        assert programs[service].env["AUTOMESH_BLOBS_URL"] == state.blobs.as_uri()


@pytest.mark.usefixtures("no_consul")
def test_without_consul_the_embedded_registry_serves_and_says_how_to_get_the_other(state: LocalState) -> None:
    plan = planned(state, registry="auto")
    assert plan.registry == "embedded"
    assert "make consul" in plan.registry_hint
    assert "consul" not in by_name(plan)


@pytest.mark.usefixtures("no_consul")
def test_consul_that_is_asked_for_and_absent_is_refused_with_the_ways_to_get_it(state: LocalState) -> None:
    with pytest.raises(StackError, match=r"there is no Consul here: put a `consul` binary .* AUTOMESH_CONSUL_ADDRESS"):
        planned(state, registry="consul")


def test_a_consul_that_is_there_is_started_on_loopback_with_its_data_in_the_folder(
    state: LocalState, some_consul: Path
) -> None:
    plan = planned(state, registry="auto")
    consul = by_name(plan)["consul"]
    assert plan.registry == "consul"
    assert not plan.registry_hint
    assert str(some_consul) in consul.argv
    assert consul.prepare is not None
    stale = state.folder / "consul" / "data" / "services" / "of-an-earlier-life"
    stale.parent.mkdir(parents=True)
    stale.touch()
    consul.prepare()
    assert not stale.exists()
    config = (state.folder / "consul" / "consul.json").read_text()
    assert '"client_addr": "127.0.0.1"' in config
    assert str(state.folder / "consul" / "data") in config
    address = by_name(plan)["auth"].env["AUTOMESH_CONSUL_ADDRESS"]
    assert address.rpartition(":")[2] in config


def test_consul_is_found_on_path_first_and_then_where_make_consul_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = tmp_path / ".tools" / "consul" / "consul"
    brought.parent.mkdir(parents=True)
    brought.touch()
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_consul([tmp_path]) == brought
    on_path = tmp_path / "bin" / "consul"
    on_path.parent.mkdir()
    on_path.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_consul([tmp_path]) == on_path


def test_a_consul_of_ones_own_is_used_and_none_is_started(state: LocalState, some_consul: Path) -> None:
    plan = planned(state, registry="auto", settings=LocalSettings(consul_address="10.0.0.1:8500"))
    assert plan.registry == "consul"
    assert "consul" not in by_name(plan)
    assert by_name(plan)["control"].env["AUTOMESH_CONSUL_ADDRESS"] == "10.0.0.1:8500"


def test_embedded_means_embedded_even_where_consul_is(state: LocalState, some_consul: Path) -> None:
    plan = planned(state, registry="embedded")
    assert by_name(plan)["auth"].env["AUTOMESH_REGISTRY"] == "embedded"
    assert not plan.registry_hint


def test_several_agents_are_told_apart_and_one_certificate_serves_them(state: LocalState) -> None:
    programs = by_name(planned(state, agents=3, slots=5))
    names = ["agent-1", "agent-2", "agent-3"]
    assert [name for name in programs if name.startswith("agent")] == names
    assert len({programs[name].env["AUTOMESH_WORK_DIR"] for name in names}) == 3
    assert {programs[name].env["AUTOMESH_IDENTITY_DIR"] for name in names} == {str(state.identities("agent"))}
    assert {programs[name].env["AUTOMESH_SLOTS"] for name in names} == {"5"}


def test_a_mesh_without_agents_counts_as_whole(state: LocalState) -> None:
    programs = by_name(planned(state, agents=0))
    assert "agent" not in programs["control"].env["AUTOMESH_EXPECTED_SERVICES"].split(",")


def test_the_unsafe_sandbox_is_only_ever_asked_for(state: LocalState) -> None:
    assert "AUTOMESH_UNSAFE_SANDBOX" not in by_name(planned(state))["agent"].env
    assert by_name(planned(state, unsafe_sandbox=True))["agent"].env["AUTOMESH_UNSAFE_SANDBOX"] == "true"


@pytest.mark.parametrize(("option", "flag"), [("port", "--port"), ("control_port", "--control-port")])
def test_a_taken_port_names_the_option_that_chooses_another(state: LocalState, option: str, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(PortRefused, match=f"is taken by .*{flag}"):
            planned(state, **{option: server.getsockname()[1]})


def test_a_folder_with_a_long_name_gets_its_sockets_elsewhere(tmp_path: Path) -> None:
    state = LocalState(tmp_path / ("long" * 30))
    state.prepare()
    plan = planned(state)
    assert len(by_name(plan)["control"].env["AUTOMESH_SOCKET_PATH"]) <= 100
    for folder in plan.socket_folders:
        assert not folder.is_relative_to(state.folder)
        folder.rmdir()


def test_a_port_that_another_stack_holds_names_that_stack_and_how_to_stop_it(state: LocalState, tmp_path: Path) -> None:
    """Its supervisor would start the process again, so killing that would be bad advice."""
    serve = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); "
    supervise = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[2]], stdin=sys.stdin); "
        "child.wait()"
    )
    command = [sys.executable, "-c", supervise, "automesh.local", serve + "sys.stdin.read()"]
    environment = {**os.environ, "AUTOMESH_STATE_DIR": str(tmp_path / "other")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as supervisor:
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        port = int(supervisor.stdout.readline())
        with pytest.raises(PortRefused, match=r"belongs to the stack in .*other: .*automesh --state-dir .*other down"):
            planned(state, port=port)
        supervisor.stdin.close()
