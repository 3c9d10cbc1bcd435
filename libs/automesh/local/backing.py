"""What stands behind the services: PostgreSQL, Redis and Consul, embedded or somebody's own."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from automesh.local.consul import LocalConsul, find_consul
from automesh.local.embedded import Command
from automesh.local.options import Registry
from automesh.local.postgres import EmbeddedPostgres
from automesh.local.probes import consul_leads, postgres_answers, redis_answers
from automesh.local.program import Check, Health, Program, StackError
from automesh.local.redis import EmbeddedRedis
from automesh.local.settings import LocalSettings
from automesh.local.state import LocalState
from automesh.local.tether import tethered

POSTGRES, REDIS, CONSUL = "postgres", "redis", "consul"
GET_CONSUL = "put a `consul` binary (1.8 or newer) on PATH, or run `make consul` in a checkout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """Processes to start, and how services find what they need."""

    programs: Sequence[Program] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    socket_folders: Sequence[Path] = ()
    registry_hint: str = ""
    """Why the registry is the embedded one, and how to get the other."""


def databases(state: LocalState, settings: LocalSettings) -> Backing:
    """Raises EmbeddedError where the wheels are missing."""
    programs: list[Program] = []
    sockets: list[Path] = []
    env = {"AUTOMESH_POSTGRES_DSN": settings.postgres_dsn, "AUTOMESH_REDIS_URL": settings.redis_url}
    if not settings.postgres_dsn:
        postgres = EmbeddedPostgres(state.folder / POSTGRES / "data", state.run / POSTGRES)
        answers = _whoever(partial(postgres_answers, postgres.dsn))
        address = _shown(postgres.socket_dir, state)
        programs.append(_embedded(POSTGRES, postgres.command(), answers, prepare=postgres.prepare, address=address))
        env["AUTOMESH_POSTGRES_DSN"] = postgres.dsn
        sockets.append(postgres.socket_dir)
    if not settings.redis_url:
        redis = EmbeddedRedis(state.folder / REDIS, state.run / REDIS)
        answers = _whoever(partial(redis_answers, redis.socket_path))
        address = _shown(redis.socket_path, state)
        programs.append(_embedded(REDIS, redis.command(), answers, prepare=redis.prepare, address=address))
        env["AUTOMESH_REDIS_URL"] = redis.url
        sockets.append(redis.socket_path.parent)
    return Backing(programs=programs, env=env, socket_folders=sockets)


def registry(state: LocalState, wanted: Registry, settings: LocalSettings, env: Mapping[str, str]) -> Backing:
    """Raises StackError when Consul is wanted and there is none."""
    if wanted == "embedded":
        return _without_consul("")
    if settings.consul_address:
        return Backing(env={"AUTOMESH_REGISTRY": "consul", "AUTOMESH_CONSUL_ADDRESS": settings.consul_address})
    binary = find_consul()
    if binary is not None:
        return _own_consul(LocalConsul(binary, state.folder / CONSUL), env)
    if wanted == "consul":
        raise StackError(
            f"there is no Consul here: {GET_CONSUL}, or set AUTOMESH_CONSUL_ADDRESS, or leave --registry out"
        )
    return _without_consul(f"no Consul here, so the embedded registry serves; to use Consul, {GET_CONSUL}")


def _without_consul(hint: str) -> Backing:
    return Backing(env={"AUTOMESH_REGISTRY": "embedded"}, registry_hint=hint)


def _own_consul(consul: LocalConsul, env: Mapping[str, str]) -> Backing:
    program = Program(
        name=CONSUL,
        argv=tethered(consul.argv, signal.SIGTERM),
        check=_whoever(partial(consul_leads, consul.http_port)),
        env=env,
        prepare=consul.prepare,
    )
    return Backing(programs=[program], env={"AUTOMESH_REGISTRY": "consul", "AUTOMESH_CONSUL_ADDRESS": consul.address})


def _embedded(name: str, command: Command, check: Check, *, prepare: Callable[[], None], address: str) -> Program:
    """The embedded servers tie themselves to the supervisor's life."""
    return Program(
        name=name,
        argv=command.argv,
        check=check,
        env=command.env,
        prepare=prepare,
        stop_signal=command.stop_signal,
        stop_limit_s=20.0,
        address=address,
    )


def _shown(socket: Path, state: LocalState) -> str:
    return str(socket.relative_to(state.folder)) if socket.is_relative_to(state.folder) else str(socket)


def _whoever(look: Callable[[], Awaitable[Health]]) -> Check:
    """For servers that are known by their address, whatever their process."""

    async def check(_pid: int) -> Health:
        return await look()

    return check
