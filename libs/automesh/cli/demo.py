"""`automesh demo`: the main job of automesh on real input, shown live."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from automesh.cli.account import issue_client
from automesh.cli.api import Api, Json
from automesh.cli.context import settings_of
from automesh.cli.demo_doc import SPACE, show_documentation
from automesh.cli.errors import CliError
from automesh.cli.output import coloured, console, literal, short, table
from automesh.cli.target import CliSettings, find_target
from automesh.cli.tasks import FINISHED, download_artifacts
from automesh.cli.typed import automesh_command, near

MODULES = ("packaging.version", "packaging.specifiers", "packaging.markers")
"""Real input: modules of an installed library that nobody here wrote."""

LIMIT_S = 280.0
LOG_LINES = 6


@dataclass
class Watched:
    """A task being watched by a thread of its own; the screen reads it."""

    module: str
    task_id: str
    task: Json = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    error: str = ""
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    @property
    def status(self) -> str:
        """The short status."""
        return short(self.task.get("status", "SCHEDULED"))

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return bool(self.error) or self.status in FINISHED


def demo(
    context: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
    budget: Annotated[
        float | None, typer.Option(help="Seconds that each task may take.", min=5, max=120, show_default="the agent's")
    ] = None,
) -> None:
    """Start the stack, let agents write tests for three modules of `packaging`, show it live, show what came of it.

    Then the project's own docs are imported, checked, published and searched. Exit status 0 only if all went well.
    """
    settings = settings_of(context)
    with _stack(settings, keep=keep):
        api = Api(find_target(settings))
        watched = [_submit(api, module, budget) for module in MODULES]
        _watch(api, watched)
        folder = _collect(api, watched)
        _report(watched, folder)
        show_documentation(api)
        _how_to_look(api, watched[0].task_id, keep=keep)
    if any(each.status != "COMPLETED" for each in watched):
        raise CliError("not every task completed", next_step="Look: automesh up, then automesh task list")


@contextlib.contextmanager
def _stack(settings: CliSettings, *, keep: bool) -> Iterator[None]:
    ours = not _runs(settings)
    if ours:
        console.rule("[bold]1 the stack starts")
        _automesh(settings, "up", "--detach")
    try:
        yield
    finally:
        if ours and not keep:
            console.rule("[bold]the stack stops")
            _automesh(settings, "down")


def _runs(settings: CliSettings) -> bool:
    try:
        Api(find_target(settings)).get("/health")
    except CliError:
        return False
    return True


def _automesh(settings: CliSettings, *arguments: str) -> None:
    command = [sys.executable, "-m", "automesh.cli", "--state-dir", str(settings.state_dir), *arguments]
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise CliError(f"automesh {' '.join(arguments)} failed", next_step="Look: automesh logs")


def _submit(api: Api, module: str, budget: float | None) -> Watched:
    task = {
        "type": "test_generation",
        "description": f"demo: tests for {module}",
        "input": {"module": module, **({"budget_s": budget} if budget else {})},
    }
    return Watched(module, str(api.post("/tasks", task)["taskId"]))


def _watch(api: Api, watched: list[Watched]) -> None:
    console.rule("[bold]2 agents write tests")
    threads = [threading.Thread(target=_follow, args=(Api(api.target), each), daemon=True) for each in watched]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + LIMIT_S
    show = _live if console.is_terminal else _plain
    show(watched, deadline)
    late = [each.module for each in watched if not each.over]
    if late:
        raise CliError(
            f"{', '.join(late)} did not finish within {LIMIT_S:.0f} s", next_step="Look: automesh logs agent"
        )


def _follow(api: Api, watched: Watched) -> None:
    try:
        for message in api.watch(watched.task_id):
            watched.task = message["task"]
            watched.lines += [line["text"] for line in message.get("logLines", ())]
    except CliError as error:
        watched.error = error.message
    watched.ended = time.monotonic()


def _live(watched: list[Watched], deadline: float) -> None:
    with Live(console=console, refresh_per_second=10) as live:
        while not all(each.over for each in watched) and time.monotonic() < deadline:
            live.update(_screen(watched))
            time.sleep(0.1)
        live.update(_screen(watched))


def _plain(watched: list[Watched], deadline: float) -> None:
    """Without a terminal: a line whenever something changes."""
    shown: dict[str, tuple[str, str]] = {}
    while True:
        over = all(each.over for each in watched) or time.monotonic() >= deadline
        for each in watched:
            state = each.status, str(each.task.get("progress", {}).get("message", ""))
            if shown.get(each.module) != state:
                shown[each.module] = state
                console.print(
                    f"{each.module:24} {state[0]:10} {_fraction(each):4.0%} {state[1]}", highlight=False, markup=False
                )
        if over:
            return
        time.sleep(0.2)


def _screen(watched: list[Watched]) -> RenderableType:
    rows = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    module = max((len(each.module) for each in watched), default=0)
    for name, width in (("MODULE", module), ("STATUS", 9), ("PROGRESS", 0), ("", 4), ("TIME", 5), ("DOING", 0)):
        ratio = 0 if width else 1 + (name == "DOING")  # only the bar and the words give way on a narrow terminal
        rows.add_column(name, min_width=width or None, ratio=ratio or None, no_wrap=True)
    for each in watched:
        fraction = _fraction(each)
        seconds = (each.ended or time.monotonic()) - each.started
        doing = each.error or str(each.task.get("progress", {}).get("message", "waits for an agent"))
        bar = ProgressBar(total=1, completed=fraction)
        rows.add_row(each.module, coloured(each.status), bar, f"{fraction:4.0%}", f"{seconds:3.0f} s", literal(doing))
    lines = [f"{each.module.rpartition('.')[2]}: {line}" for each in watched for line in each.lines[-2:]]
    log = Text("\n").join(map(literal, lines[-LOG_LINES:])) or Text("…")
    log.no_wrap, log.overflow = True, "ellipsis"
    return Group(rows, Panel(log, title="what the agents say", border_style="dim", height=LOG_LINES + 2))


def _fraction(watched: Watched) -> float:
    if watched.status == "COMPLETED":
        return 1.0
    return float(watched.task.get("progress", {}).get("fraction", 0) or 0)


def _collect(api: Api, watched: list[Watched]) -> Path:
    folder: Path = api.target.state.folder / "demo" / time.strftime("%Y%m%d-%H%M%S")
    for each in watched:
        if each.status == "COMPLETED":
            download_artifacts(api, each.task_id, folder / each.module)
    return folder


def _report(watched: list[Watched], folder: Path) -> None:
    console.rule("[bold]3 what came of it")
    rows: list[list[str | Text]] = []
    for each in watched:
        result = each.task.get("result") or {}
        if each.status != "COMPLETED":
            failure = each.task.get("failure") or {}
            rows.append([each.module, coloured(each.status), "", "", "", each.error or str(failure.get("message", ""))])
            continue
        dropped = sum(int(count) for count in (result.get("dropped") or {}).values())
        rows.append(
            [
                each.module,
                coloured(each.status),
                f"{int(result.get('passed', 0))}",
                _percent(result.get("line_coverage")),
                _percent(result.get("branch_coverage")),
                f"{dropped}",
            ]
        )
    console.print(table(["MODULE", "STATUS", "TESTS PASSED", "LINES", "BRANCHES", "DROPPED"], rows))
    console.print("Dropped: what failed, flickered, or added nothing to the others.", style="dim")
    console.print(Text.assemble("\nThe generated tests: ", literal(near(folder), "bold")), soft_wrap=True)


def _percent(value: object) -> str:
    return f"{value:.0f} %" if isinstance(value, int | float) else "-"


def _how_to_look(api: Api, task_id: str, *, keep: bool) -> None:
    files = issue_client(api, "demo")
    automesh = automesh_command(api.target.state)
    bearer = f'"authorization: Bearer $({automesh} token)"'
    when = "" if keep else "  (with the stack up: make up)"
    console.print(f"\n[bold]Look again{when}[/bold]", highlight=False)
    certificate = f"-cacert {near(files.bundle)} -cert {near(files.certificate)} -key {near(files.key)}"
    lines = [
        f"{automesh} task get {task_id}",
        f"{automesh} doc search lease --space {SPACE}",
        f"curl --cacert {near(api.target.ca_file or '')} -H {bearer} {api.target.url}/api/v1/tasks/{task_id}",
        f"grpcurl {certificate} -authority orchestrator.automesh.local -H {bearer} "
        f'-d \'{{"task_id": "{task_id}"}}\' $({automesh} mesh address orchestrator) '
        "automesh.orchestrator.v1.TaskService/GetTask",
    ]
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
