"""`automesh up`, `down`, `status` and `logs`: the whole stack on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from automesh.cli.context import AsJson, settings_of
from automesh.cli.errors import CliError
from automesh.cli.output import console, literal, print_json
from automesh.cli.stack_logs import show_logs
from automesh.cli.stack_status import as_document, overall_health, status_table
from automesh.cli.stack_views import StackView, show_summary, view_for
from automesh.local.background import is_running, start_detached, stop_running
from automesh.local.lock import StackLock
from automesh.local.options import CONTROL_PORT, GATEWAY_PORT, MOST_AGENTS, Registry, StackOptions
from automesh.local.record import StackRecord
from automesh.local.settings import LocalSettings, environment
from automesh.local.stack import AlreadyRuns, Stack
from automesh.local.state import LocalState
from automesh.local.supervise import log_beside, supervise
from automesh.mesh.settings import read_settings

EXIT_NOT_RUNNING = 3  # as init scripts answer `status`

StateDir = Annotated[Path | None, typer.Option(help="Folder of the local stack.", show_default=".automesh")]
Port = Annotated[int, typer.Option(help="Port of the gateway; 0: any free one.", min=0, max=65535)]
ControlPort = Annotated[int, typer.Option(help="Port of control; 0: any free one.", min=0, max=65535)]
SitePort = Annotated[
    int | None,
    typer.Option(
        help="Port of published documentation; 0: any free one.", min=0, max=65535, show_default="8081 if free"
    ),
]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="Return once all is ready; stop it with automesh down.")]
RegistryOption = Annotated[str, typer.Option(help="auto (Consul where there is one), consul, or embedded.")]
Agents = Annotated[int, typer.Option(help="How many agents.", min=0, max=MOST_AGENTS)]
Slots = Annotated[int, typer.Option(help="How many tasks each agent may hold at once.", min=1)]
Unsafe = Annotated[
    bool, typer.Option("--unsafe-sandbox", help="Run what tasks bring without isolation where there is none.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(logs)


def up(
    context: typer.Context,
    state_dir: StateDir = None,
    port: Port = GATEWAY_PORT,
    control_port: ControlPort = CONTROL_PORT,
    site_port: SitePort = None,
    detach: Detach = False,
    registry: RegistryOption = "auto",
    agents: Agents = 1,
    slots: Slots = 2,
    unsafe_sandbox: Unsafe = False,
) -> None:
    """Start the whole stack and stay with it; Ctrl-C stops it.

    A second `up` in the same state folder says that the stack already runs.
    """
    state = _state(context, state_dir)
    options = StackOptions(
        state_dir=state.folder,
        port=port,
        control_port=control_port,
        site_port=site_port,
        registry=_registry(registry),
        agents=agents,
        slots=slots,
        unsafe_sandbox=unsafe_sandbox,
    )
    state.prepare()
    if StackLock(state.lock_file).held_by() is not None:
        return _say_it_runs(state)
    view = view_for(console, state)
    try:
        if detach:
            _up_detached(state, options, view)
        else:
            _up_here(state, options, view)
    except AlreadyRuns:
        _say_it_runs(state)


def down(context: typer.Context, state_dir: StateDir = None) -> None:
    """Stop the stack of the state folder."""
    state = _state(context, state_dir)
    if stop_running(state):
        console.print("The stack is down.")
    else:
        console.print(literal(f"No stack runs in {state.folder}."), soft_wrap=True)


def status(context: typer.Context, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show the processes of the stack. Exit status 3 when none runs."""
    state = _state(context, state_dir)
    record = StackRecord.read(state.stack_file)
    if record is None or not is_running(record):
        if as_json:
            print_json({"running": False, "state_dir": str(state.folder)})
        else:
            console.print(literal(f"No stack runs in {state.folder}. Start one: automesh up"), soft_wrap=True)
        raise typer.Exit(EXIT_NOT_RUNNING)
    health = asyncio.run(overall_health(record))
    if as_json:
        print_json(as_document(state, record, health))
    else:
        console.print(status_table(record, health=health))


def logs(
    context: typer.Context,
    services: Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Which; empty: all.")] = None,
    state_dir: StateDir = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is logged from now on.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines of each.", min=0, max=100_000)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they are in the files.")] = False,
) -> None:
    """Show what the processes logged."""
    show_logs(console, _state(context, state_dir), services or [], lines=lines, follow=follow, raw=as_json)


def _up_here(state: LocalState, options: StackOptions, view: StackView) -> None:
    settings = read_settings(LocalSettings)
    log_beside(state, settings.log_level)
    with view:
        asyncio.run(supervise(Stack(options, settings, environment(), view)))
    console.print("The stack is down.")


def _up_detached(state: LocalState, options: StackOptions, view: StackView) -> None:
    with view:
        record = start_detached(state, options, view.changed)
    show_summary(console, state, record, detached=True)


def _say_it_runs(state: LocalState) -> None:
    record = StackRecord.read(state.stack_file)
    pid = StackLock(state.lock_file).held_by()
    where = f", {record.gateway_url}" if record is not None and record.gateway_url else ""
    condition = "already runs" if record is not None and record.ready else "is starting already"
    console.print(literal(f"The stack in {state.folder} {condition} (process {pid}{where})."), soft_wrap=True)
    console.print("See it: automesh status   Stop it: automesh down", highlight=False)


def _state(context: typer.Context, given: Path | None) -> LocalState:
    return LocalState(given or settings_of(context).state_dir)


def _registry(text: str) -> Registry:
    if text not in ("auto", "consul", "embedded"):
        raise CliError(f"there is no registry {text!r}", next_step="Choose: --registry auto, consul or embedded")
    return text  # type: ignore[return-value] # typer's choices are text
