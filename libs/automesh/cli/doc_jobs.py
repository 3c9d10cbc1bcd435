"""`automesh doc jobs|job`: long work, followed with a bar until its end, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Annotated
from urllib.parse import quote

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from automesh.cli.api import CUT_PAUSE_S, MAX_CUTS, Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_places import Limit, Space, word
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json, table

DONE = "JOB_STATE_DONE"
ENDED = (DONE, "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
EXIT_NOT_DONE = 3
SHOWN_PROBLEMS = 50
_STYLES = {"done": "green", "failed": "red", "cancelled": "yellow", "running": "blue", "queued": "cyan"}
_TALLY = ("created", "updated", "unchanged", "renamed", "deleted", "refused")
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Which job.")]


PANEL = "In and out"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(jobs)
    app.command(rich_help_panel=PANEL)(job)


def jobs(context: typer.Context, space: Space = "", limit: Limit = 20, as_json: AsJson = False) -> None:
    """List imports, exports, backups and restores, the newest first."""
    found = api_of(context).get("/doc/jobs", space=space, pageSize=limit).get("jobs", [])
    if as_json:
        print_json(found)
        return
    rows = [
        [each["jobId"], word(each["kind"], "JOB_KIND_"), state_text(each), each.get("space", ""),
         f"{each.get('done', 0)}/{each.get('total', 0)}", age(each.get("createTime", "")), each.get("createdBy", "")]
        for each in found
    ]  # fmt: skip
    console.print(table(["JOB", "KIND", "STATE", "SPACE", "DONE", "AGE", "BY"], rows))


def job(
    context: typer.Context,
    job_id: JobId,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it; what it has done stays.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end, and show what came of it. Exit status 3 unless it is done."""
    api = api_of(context)
    if cancel:
        api.post(f"{job_path(job_id)}:cancel")
    ended = follow_job(api, api.get(job_path(job_id)), quiet=as_json)
    show_end(ended, as_json=as_json)


def job_path(job_id: str) -> str:
    """Where a job is."""
    return f"/doc/jobs/{quote(job_id, safe='')}"


def watch_job(api: Api, job_id: str, *, pause: Callable[[float], None] = time.sleep) -> Iterator[Json]:
    """The job and its changes until it has ended; a line that is cut is taken up again."""
    cuts = 0
    while True:
        try:
            for message in api.stream(f"{job_path(job_id)}:watch"):
                cuts = 0
                yield message
                if message.get("state") in ENDED:
                    return
        except CliError as error:
            cuts += 1
            if not error.passing or cuts > MAX_CUTS:
                raise
        pause(CUT_PAUSE_S)


def follow_job(api: Api, begun: Json, *, quiet: bool = False) -> Json:
    """The job once it has ended; meanwhile a bar says how far it is."""
    if begun.get("state") in ENDED:
        return begun
    try:
        _show_progress(api, begun, quiet=quiet)
    except KeyboardInterrupt:
        said = f"It goes on without you. Look: automesh doc job {begun['jobId']}   (--cancel stops it)"
        console.print(literal(said), soft_wrap=True)
        raise
    return api.get(job_path(begun["jobId"]))


def _show_progress(api: Api, begun: Json, *, quiet: bool) -> None:
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        bar = progress.add_task(word(begun.get("kind", ""), "JOB_KIND_"), total=None)
        for job in watch_job(api, begun["jobId"]):
            total = int(job.get("total", 0)) or None
            step = str(job.get("step", "")) or word(job.get("state", ""), "JOB_STATE_")
            progress.update(bar, completed=int(job.get("done", 0)), total=total, description=step[:60])


def all_told(job: Json) -> bool:
    """Whether it is done, and names everything that it refused."""
    refused = int(job.get("tally", {}).get("refused", 0))
    return job.get("state") == DONE and refused <= len(job.get("problems", []))


def show_end(job: Json, *, as_json: bool = False) -> None:
    """What came of it. Ends the command with exit status 3 unless it is done."""
    if as_json:
        print_json(job)
    else:
        console.print(Text.assemble(state_text(job), "  ", tally_text(job.get("tally", {}))))
        show_problems(job.get("problems", []))
        if job.get("failure"):
            console.print(literal(job["failure"], "red"), soft_wrap=True)
    if job.get("state") != DONE:
        raise typer.Exit(EXIT_NOT_DONE)


def show_problems(problems: list[Json]) -> None:
    """A line for each file that was refused or is worth a look."""
    if not problems:
        return
    rows = [[each.get("path", ""), each.get("message", "")] for each in problems[:SHOWN_PROBLEMS]]
    console.print(table(["FILE", "PROBLEM"], rows))
    if len(problems) > SHOWN_PROBLEMS:
        console.print(f"and {len(problems) - SHOWN_PROBLEMS} more: --json shows them all", style="dim")


def state_text(job: Json) -> Text:
    """done in green and so on."""
    state = word(job.get("state", ""), "JOB_STATE_")
    return literal(state, _STYLES.get(state, "white"))


def tally_text(tally: Json) -> Text:
    """12 created, 3 unchanged."""
    said = [f"{tally[key]} {key}" for key in _TALLY if int(tally.get(key, 0))]
    return literal(", ".join(said))
