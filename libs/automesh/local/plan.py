"""Which processes a local stack consists of, what each is told, and what each needs before it starts."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

from automesh.local.backing import CONSUL, databases, registry
from automesh.local.consul import CHECKOUT
from automesh.local.embedded import socket_folder
from automesh.local.options import SITE_PORT, StackOptions
from automesh.local.ports import PortRefused, claim
from automesh.local.probes import gateway_answers, grpc_serves
from automesh.local.program import Check, Health, Program
from automesh.local.settings import LocalSettings
from automesh.local.state import LocalState
from automesh.local.tether import tethered
from automesh.mesh.identity import IdentityFiles

CONTROL, AUTH, ORCHESTRATOR, AGENT, GATEWAY = "control", "auth", "orchestrator", "agent", "gateway"
DATA, DOC, MODEL = "data", "doc", "model"
INIT = "init"
"""The step that makes certificates and keys; every service needs it."""


_PER_PROCESS = ("SERVICE", "INSTANCE_ID", "VERSION", "IDENTITY_DIR", "LISTEN_PORT", "METRICS_PORT", "ADVERTISE_HOST")
"""Settings of one process: in the environment of `automesh up` they would be told to all of them."""

_CONTROL_SOCKET = "control.sock"
_USES: Mapping[str, frozenset[str]] = {
    CONTROL: frozenset({CONSUL}),
    AUTH: frozenset({CONSUL, CONTROL}),
    ORCHESTRATOR: frozenset({CONSUL, CONTROL, AUTH}),
    DATA: frozenset({CONSUL, CONTROL, AUTH, ORCHESTRATOR}),
    DOC: frozenset({CONSUL, CONTROL, AUTH, ORCHESTRATOR}),
    MODEL: frozenset({CONSUL, CONTROL, AUTH, ORCHESTRATOR, DATA}),
    AGENT: frozenset({CONSUL, CONTROL, AUTH, ORCHESTRATOR, DATA, DOC, MODEL}),
    GATEWAY: frozenset({CONSUL, CONTROL, AUTH, ORCHESTRATOR, DATA, DOC, MODEL}),
}
"""Who is stopped before whom: leaving the registry, giving work back and the last audit entries need a listener."""

_STOP_LIMIT_S = {AGENT: 30.0}  # trainers write a checkpoint first


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything decided; nothing started yet."""

    programs: Sequence[Program]
    init: Sequence[str]
    """Run to its end before any service."""
    init_env: Mapping[str, str]
    serving: Callable[[], Awaitable[Health]]
    """The last gate: `detail` is SERVING once a stranger who asks over HTTPS hears that everything serves."""
    gateway_port: int
    control_port: int
    registry: str
    registry_hint: str = ""
    socket_folders: Sequence[Path] = field(default_factory=tuple)

    @property
    def gateway_url(self) -> str:
        """Where people and programs come in."""
        return f"https://localhost:{self.gateway_port}"

    @property
    def control_address(self) -> str:
        """host:port of control."""
        return f"localhost:{self.control_port}"


def make_plan(
    state: LocalState, options: StackOptions, settings: LocalSettings, environment: Mapping[str, str]
) -> Plan:
    """Asks for ports, starts nothing. Raises PortRefused, EmbeddedError or StackError that say what to do."""
    gateway_port = claim(options.port, "the gateway", "--port")
    control_port = claim(options.control_port, "control", "--control-port")
    inherited = _inherited(environment)
    behind = databases(state, settings)
    found_by = registry(state, options.registry, settings, inherited)
    control_folder = socket_folder(state.run, _CONTROL_SOCKET)
    site_port = _site_port(options)
    env = {
        **_defaults(state),
        **inherited,
        **behind.env,
        **found_by.env,
        **_common(state, settings, control_port),
        "AUTOMESH_SOCKET_PATH": str(control_folder / _CONTROL_SOCKET),
    }
    services = Services(state, options, env, gateway_port=gateway_port, control_port=control_port, site_port=site_port)
    return Plan(
        programs=[
            *behind.programs,
            *found_by.programs,
            *services.programs(program.name for program in behind.programs),
        ],
        init=[sys.executable, "-m", "services.auth", "init", "--state-dir", str(state.folder)],
        init_env=env,
        serving=partial(gateway_answers, gateway_port, state.web_ca),
        gateway_port=gateway_port,
        control_port=control_port,
        registry=env["AUTOMESH_REGISTRY"],
        registry_hint=found_by.registry_hint,
        socket_folders=[*behind.socket_folders, control_folder],
    )


class Services:
    """The processes of the mesh."""

    def __init__(
        self,
        state: LocalState,
        options: StackOptions,
        env: Mapping[str, str],
        *,
        gateway_port: int,
        control_port: int,
        site_port: int,
    ) -> None:
        self._state, self._options, self._env = state, options, env
        self._gateway_port, self._control_port, self._site_port = gateway_port, control_port, site_port
        self._probe_as = IdentityFiles(state.identities(CONTROL))
        self._trust_domain = env.get("AUTOMESH_TRUST_DOMAIN", "automesh.local")

    def programs(self, databases: Iterable[str]) -> list[Program]:
        """All of them; `databases` are the programs that those need first who keep something."""
        stored = frozenset(databases)
        agents = self._agents()
        return [
            self._service(CONTROL, told={"AUTOMESH_LISTEN_PORT": str(self._control_port), **self._expected()}),
            self._service(AUTH, needs=stored),
            *(self._service(name, needs=stored) for name in (ORCHESTRATOR, DATA)),
            self._service(
                DOC, needs=stored, besides=self._site_port, told={"AUTOMESH_DOC_SITE_PORT": str(self._site_port)}
            ),
            self._service(MODEL, needs=stored),
            *agents,
            self._gateway(frozenset(agent.name for agent in agents)),
        ]

    def _agents(self) -> list[Program]:
        names = [AGENT] if self._options.agents == 1 else [f"{AGENT}-{i + 1}" for i in range(self._options.agents)]
        told = {"AUTOMESH_SLOTS": str(self._options.slots)}
        pynguin = CHECKOUT / ".tools" / "pynguin" / "bin" / "python"
        if "AUTOMESH_PYNGUIN_PYTHON" not in self._env and pynguin.exists():
            told["AUTOMESH_PYNGUIN_PYTHON"] = str(pynguin)
        if self._options.unsafe_sandbox:
            told["AUTOMESH_UNSAFE_SANDBOX"] = "true"
        return [
            self._service(AGENT, name=name, told={**told, "AUTOMESH_WORK_DIR": str(self._state.folder / "work" / name)})
            for name in names
        ]

    def _gateway(self, agents: frozenset[str]) -> Program:
        return self._service(
            GATEWAY,
            module="gateway",
            uses=agents,
            check=_at_port(self._gateway_port, self._state.web_ca),
            told={
                "AUTOMESH_GATEWAY_HOST": "127.0.0.1",
                "AUTOMESH_GATEWAY_PORT": str(self._gateway_port),
                "AUTOMESH_GATEWAY_TLS": "on",
                "AUTOMESH_GATEWAY_TLS_CERTIFICATE_FILE": str(self._state.web_certificate),
                "AUTOMESH_GATEWAY_TLS_KEY_FILE": str(self._state.web_key),
            },
        )

    def _service(
        self,
        service: str,
        *,
        name: str = "",
        module: str = "",
        needs: frozenset[str] = frozenset(),
        uses: frozenset[str] = frozenset(),
        check: Check | None = None,
        besides: int = 0,
        told: Mapping[str, str] = MappingProxyType({}),
    ) -> Program:
        env = {
            **self._env,
            "AUTOMESH_IDENTITY_DIR": str(self._state.identities(service)),
            "AUTOMESH_LISTEN_PORT": "0",
            **told,
        }
        identity, trust_domain = self._probe_as, self._trust_domain
        health = partial(grpc_serves, service=service, identity=identity, trust_domain=trust_domain, besides=besides)
        return Program(
            name=name or service,
            argv=tethered([sys.executable, "-m", module or f"services.{service}"], signal.SIGTERM),
            check=check or health,
            env=env,
            needs=needs | {INIT},
            uses=uses | _USES[service],
            stop_limit_s=_STOP_LIMIT_S.get(service, 12.0),
        )

    def _expected(self) -> dict[str, str]:
        """Without agents the mesh is whole, too."""
        names = [AUTH, CONTROL, ORCHESTRATOR, DATA, DOC, MODEL, *([AGENT] if self._options.agents else []), GATEWAY]
        return {} if "AUTOMESH_EXPECTED_SERVICES" in self._env else {"AUTOMESH_EXPECTED_SERVICES": ",".join(names)}


def _site_port(options: StackOptions) -> int:
    """Published documentation shall not keep a stack from starting: only a port that was asked for is insisted on."""
    if options.site_port is not None:
        return claim(options.site_port, "published documentation", "--site-port")
    try:
        return claim(SITE_PORT if options.port else 0, "published documentation", "--site-port")
    except PortRefused:
        return claim(0, "published documentation", "--site-port")


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    dropped = {f"AUTOMESH_{setting}" for setting in _PER_PROCESS}
    return {name: value for name, value in environment.items() if name not in dropped}


def _common(state: LocalState, settings: LocalSettings, control_port: int) -> dict[str, str]:
    return {
        "AUTOMESH_STATE_DIR": str(state.folder),
        "AUTOMESH_CONTROL_ADDRESS": f"localhost:{control_port}",
        "AUTOMESH_KEYRING_FILE": str(state.keyring),
        "AUTOMESH_LOG_LEVEL": settings.log_level,
    }


def _defaults(state: LocalState) -> dict[str, str]:
    """What the environment of `automesh up` may say otherwise."""
    return {"AUTOMESH_BLOBS_URL": state.blobs.as_uri(), "AUTOMESH_DRAIN_TIMEOUT_S": "5"}


def _at_port(port: int, ca_file: Path) -> Check:
    async def check(_pid: int) -> Health:
        return await gateway_answers(port, ca_file)

    return check
