"""deploy/: what stands there is what the programs understand."""

import json
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from gateway.settings import Settings as GatewaySettings
from services.agent.settings import Settings as AgentSettings
from services.auth.settings import Settings as AuthSettings
from services.control.settings import Settings as ControlSettings
from services.data.settings import Settings as DataSettings
from services.doc.settings import Settings as DocSettings
from services.model.settings import Settings as ModelSettings
from services.orchestrator.settings import Settings as OrchestratorSettings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROGRAMS: dict[str, type[BaseSettings]] = {
    "control": ControlSettings,
    "auth": AuthSettings,
    "orchestrator": OrchestratorSettings,
    "data": DataSettings,
    "doc": DocSettings,
    "model": ModelSettings,
    "agent": AgentSettings,
    "gateway": GatewaySettings,
}


def variables(name: str) -> dict[str, str]:
    lines = (DEPLOY / "env" / f"{name}.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_variable_of_its_own_file_is_a_setting_of_the_program(name: str) -> None:
    known = {f"AUTOMESH_{field.upper()}" for field in PROGRAMS[name].model_fields}
    assert variables(name).keys() <= known


def test_every_common_variable_is_a_setting_of_some_program() -> None:
    known = {f"AUTOMESH_{field.upper()}" for program in PROGRAMS.values() for field in program.model_fields}
    assert variables("common").keys() <= known


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_starts_from_its_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (variables("common") | variables(name)).items():
        monkeypatch.setenv(variable, value)
    settings = PROGRAMS[name]()
    assert settings.model_dump()["environment"] == "prod"


def test_metrics_ports_do_not_collide() -> None:
    ports = [variables(name)["AUTOMESH_METRICS_PORT"] for name in PROGRAMS]
    assert len(set(ports)) == len(ports)


def test_consul_listens_on_loopback_alone() -> None:
    config = json.loads((DEPLOY / "consul" / "server.json").read_text(encoding="utf-8"))
    assert (config["bind_addr"], config["client_addr"]) == ("127.0.0.1", "127.0.0.1")
