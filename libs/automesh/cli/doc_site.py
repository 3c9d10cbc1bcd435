"""`automesh doc publish|preview|rollback|releases|switches|resume|unpublish|site`: what readers see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Annotated
from urllib.parse import quote

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from automesh.cli.api import CUT_PAUSE_S, MAX_CUTS, Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.data_views import size_text
from automesh.cli.doc_places import Branch, Limit, Message, SpaceName, space_path, word
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json, table
from automesh.core.ids import new_id

BUILDING, FAILED = "RELEASE_STATE_BUILDING", "RELEASE_STATE_FAILED"
EXIT_FAILED = 3
_STYLES = {"current": "green", "ready": "cyan", "failed": "red", "building": "blue"}


PANEL = "Publish"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(publish)
    app.command(rich_help_panel=PANEL)(preview)
    app.command(rich_help_panel=PANEL)(rollback)
    app.command(rich_help_panel=PANEL)(releases)
    app.command(rich_help_panel=PANEL)(switches)
    app.command(rich_help_panel=PANEL)(resume)
    app.command(rich_help_panel=PANEL)(unpublish)
    app.command(rich_help_panel=PANEL)(site)
    app.command(rich_help_panel=PANEL)(link)


def publish(
    context: typer.Context, space: SpaceName, branch: Branch = "", message: Message = "", as_json: AsJson = False
) -> None:
    """Build the site of a space, check it, and switch readers to it in one step. Exit status 3 if it fails.

    Example: automesh doc publish handbook -m "release 2"
    """
    _build(api_of(context), space, {"branch": branch, "message": message}, as_json=as_json)


def preview(
    context: typer.Context, space: SpaceName, branch: Branch = "", message: Message = "", as_json: AsJson = False
) -> None:
    """Build the site of a branch at an address of its own; readers stay where they are.

    Example: automesh doc preview handbook --branch release-2
    """
    _build(api_of(context), space, {"branch": branch, "message": message, "preview": True}, as_json=as_json)


def rollback(
    context: typer.Context,
    space: SpaceName,
    release: Annotated[
        str, typer.Argument(metavar="[RELEASE]", help="To which release.", show_default="the one before")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept, and told to everybody who looks.")] = "",
    as_json: AsJson = False,
) -> None:
    """Switch readers back to an earlier release, in one step. Merges do not publish until you resume.

    Example: automesh doc rollback handbook --reason "the API page is wrong"
    """
    if not reason:
        raise CliError("why?", next_step='Say it: --reason "..."')
    api = api_of(context)
    answer = api.post(f"{space_path(space)}/site:rollBack", {"releaseId": release, "reason": reason})
    if as_json:
        print_json(answer)
        return
    back = answer.get("release", {})
    console.print(literal(f"readers see {back.get('releaseId', '')} of {age(back.get('createTime', ''))} ago again"))
    if paused := answer.get("site", {}).get("paused"):
        console.print(literal(f"Merges do not publish now: {paused}", "yellow"), soft_wrap=True)
        console.print(literal(f"Let them again: automesh doc resume {space}", "dim"))


def releases(
    context: typer.Context, space: SpaceName, branch: Branch = "", limit: Limit = 20, as_json: AsJson = False
) -> None:
    """List the releases of a site, the newest first."""
    path = f"{space_path(space)}/releases"
    found = api_of(context).get(path, branch=branch, pageSize=limit).get("releases", [])
    if as_json:
        print_json(found)
        return
    columns = ["RELEASE", "STATE", "BRANCH", "PAGES", "SIZE", "AGE", "BY", "WHY"]
    console.print(table(columns, map(_release_row, found)))


def switches(context: typer.Context, space: SpaceName, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List what readers saw when, the latest first, with who changed it and why."""
    found = api_of(context).get(f"{space_path(space)}/switches", pageSize=limit).get("switches", [])
    if as_json:
        print_json(found)
        return
    rows = [
        [each.get("releaseId") or "taken down", "rollback" if each.get("rollback") else "",
         age(each.get("time", "")), each.get("actor", ""), each.get("reason", "")]
        for each in found
    ]  # fmt: skip
    console.print(table(["RELEASE", "", "AGE", "BY", "WHY"], rows))


def resume(context: typer.Context, space: SpaceName, as_json: AsJson = False) -> None:
    """Let merges publish again after a rollback."""
    answer = api_of(context).post(f"{space_path(space)}/site:resume")
    if as_json:
        print_json(answer)
    else:
        console.print(literal(f"merges into main of {space} publish again"))


def unpublish(
    context: typer.Context,
    space: SpaceName,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept, and audited.")],
    as_json: AsJson = False,
) -> None:
    """Take a site down; its releases stay."""
    answer = api_of(context).post(f"{space_path(space)}/site:unpublish", {"reason": reason})
    if as_json:
        print_json(answer)
    else:
        console.print(literal(f"the site of {space} is down"))


def site(
    context: typer.Context,
    space: SpaceName,
    title: Annotated[str | None, typer.Option("--title", help="What stands on every page.")] = None,
    theme: Annotated[str | None, typer.Option("--theme", help="auto, light or dark.")] = None,
    accent: Annotated[str | None, typer.Option("--accent", help="Colour of links, #rrggbb.")] = None,
    auto: Annotated[
        bool | None, typer.Option("--auto/--no-auto", help="Merges into main publish by themselves.")
    ] = None,
    public: Annotated[bool | None, typer.Option("--public/--no-public", help="Anybody may read it.")] = None,
    keep: Annotated[int | None, typer.Option("--keep", min=1, max=100, help="Releases that are kept.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the site of a space, or change it: what is not named stays as it is.

    Example: automesh doc site handbook --theme dark --auto
    """
    api = api_of(context)
    found = api.get(f"{space_path(space)}/site")
    given = {"title": title, "theme": theme, "accent": accent, "autoPublish": auto, "public": public, "keep": keep}
    changes = {key: value for key, value in given.items() if value is not None}
    if changes:
        found = api.put(f"{space_path(space)}/site", {**found, **changes})
    if as_json:
        print_json(found)
        return
    facts = [
        ("address", found.get("url")),
        ("title", found.get("title")),
        ("theme", " ".join(filter(None, [found.get("theme") or "auto", found.get("accent")]))),
        ("read by", "anybody" if found.get("public") else f"whoever has a link: automesh doc link {space}"),
        ("publishes", "by hand" if not found.get("autoPublish") else "on every merge into main"),
        ("paused", found.get("paused")),
        ("current", found.get("current") or "nothing is published"),
        ("kept", f"{found.get('keep') or 10} releases"),
    ]
    console.print(table(["", ""], [[label, str(value)] for label, value in facts if value]))


def link(
    context: typer.Context,
    space: SpaceName,
    release: Annotated[
        str, typer.Argument(metavar="[RELEASE]", help="Which release.", show_default="what readers see")
    ] = "",
) -> None:
    """Print an address that opens a preview, or a site that is not public, in a browser for a while."""
    print(link_of(api_of(context), space, release))


def release_path(space: str, release_id: str) -> str:
    """Where a release is."""
    return f"{space_path(space)}/releases/{quote(release_id, safe='')}"


def watch_release(
    api: Api, space: str, release_id: str, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[Json]:
    """How a build goes, until it has ended; a line that is cut is taken up again."""
    cuts = 0
    while True:
        try:
            for message in api.stream(f"{release_path(space, release_id)}:watch"):
                cuts = 0
                yield message
                if message.get("release", {}).get("state") != BUILDING:
                    return
        except CliError as error:
            cuts += 1
            if not error.passing or cuts > MAX_CUTS:
                raise
        pause(CUT_PAUSE_S)


def built(api: Api, space: str, asked: Json, *, quiet: bool = False) -> Json:
    """The release once its build has ended; meanwhile a bar says how far it is."""
    begun = api.post(f"{space_path(space)}/site:publish", {**asked, "requestId": new_id("once")})["release"]
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("building", total=1.0)
        for message in watch_release(api, space, begun["releaseId"]):
            step = str(message.get("step", "")) or "building"
            progress.update(bar, completed=float(message.get("fraction", 0)), description=step[:60])
    return api.get(release_path(space, begun["releaseId"]))


def link_of(api: Api, space: str, release_id: str) -> str:
    """An address that opens a release in a browser for a while."""
    return str(api.get(f"{space_path(space)}/site:link", releaseId=release_id).get("url", ""))


def _build(api: Api, space: str, asked: Json, *, as_json: bool) -> None:
    release = built(api, space, asked, quiet=as_json)
    failed = release.get("state") == FAILED
    if as_json:
        print_json(release)
    else:
        _say(api, space, release, failed=failed)
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _say(api: Api, space: str, release: Json, *, failed: bool) -> None:
    size = size_text(release.get("size", 0))
    facts = f"{release['releaseId']}  {release.get('pages', 0)} pages, {release.get('files', 0)} files, {size}"
    console.print(Text.assemble(_state(release), "  ", literal(facts)))
    for line in release.get("checks", []):
        console.print(literal(f"  {line}", "yellow"), soft_wrap=True)
    if failed:
        console.print(literal(release.get("failure", ""), "red"), soft_wrap=True)
        return
    console.print(literal(str(release.get("url", "")), "bold"), soft_wrap=True)
    shown = api.get(f"{space_path(space)}/site")
    if release.get("preview") or not shown.get("public"):
        link = link_of(api, space, release["releaseId"])
        console.print(literal(f"Open it (for a while): {link}", "dim"), soft_wrap=True)


def _release_row(release: Json) -> list[str | Text]:
    return [
        release["releaseId"],
        _state(release),
        release.get("branch", ""),
        str(release.get("pages", 0)),
        size_text(release.get("size", 0)),
        age(release.get("createTime", "")),
        release.get("createdBy", ""),
        release.get("failure") or release.get("message", ""),
    ]


def _state(release: Json) -> Text:
    state = word(release.get("state", ""), "RELEASE_STATE_")
    name = f"{state} preview" if release.get("preview") else state
    return literal(name, _STYLES.get(state, "white"))
