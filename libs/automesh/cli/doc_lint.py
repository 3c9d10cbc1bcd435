"""`automesh doc lint|rules`: what is wrong with documents, of a space or of a folder that is not pushed yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Annotated
from urllib.parse import unquote

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_files import SUFFIX, LocalFiles, text_of
from automesh.cli.doc_places import Branch, Space, space_path
from automesh.cli.errors import CliError
from automesh.cli.output import console, literal, print_json, table

REFUSE = "refuse"
EXIT_REFUSED = 3
SIDE_BY_SIDE = 4
"""So many files are checked at once."""
SHOWN = 200
_BROKEN = "broken-link"
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|\]:\s*<?(\S+?)>?\s*$")


PANEL = "Check"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(lint)
    app.command(rich_help_panel=PANEL)(rules)


def lint(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(exists=True, metavar="[PATH]", help="Files of this machine instead of the space's.")
    ] = None,
    space: Space = "",
    prefix: Annotated[str, typer.Option("--prefix", "-p", help="Where in the space the files are to go.")] = "",
    rule: Annotated[str, typer.Option("--rule", help="Only what breaks this rule.")] = "",
    branch: Branch = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 3 for warnings as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong: broken links and anchors, front matter, style, spelling. Exit status 3 if a save is refused.

    Examples: automesh doc lint --space handbook, automesh doc lint docs/ --space handbook
    """
    if not space:
        raise CliError("by whose rules?", next_step="Name the space: --space SPACE   (automesh doc space list)")
    api = api_of(context)
    if folder is None:
        found = api.every(f"{space_path(space)}/findings", "findings", branch=branch, rule=rule)
    else:
        found = check_folder(api, folder, space=space, prefix=prefix, branch=branch, quiet=as_json)
        found = [each for each in found if not rule or each["rule"] == rule]
    if as_json:
        print_json(found)
    else:
        show_findings(found, with_path=True)
        _say_count(found)
    if any(strict or each.get("level") == REFUSE for each in found):
        raise typer.Exit(EXIT_REFUSED)


def rules(context: typer.Context, as_json: AsJson = False) -> None:
    """List the rules there are. A space sets their levels: automesh doc space edit SPACE --level RULE=refuse."""
    found = api_of(context).get("/docs:rules").get("rules", [])
    if as_json:
        print_json(found)
        return
    rows = [[each["rule"], _level(each.get("level", "")), each.get("description", "")] for each in found]
    console.print(table(["RULE", "LEVEL", "WHAT IT WANTS"], rows))


def check_folder(api: Api, root: Path, *, space: str, prefix: str, branch: str, quiet: bool) -> list[Json]:
    """The findings of every Markdown file, by path. Links between the files hold, although no space has them yet."""
    files = LocalFiles.of(root).files
    pages = [path for path in files if path.lower().endswith(SUFFIX)]
    if not pages:
        raise CliError(f"{root} has no Markdown files", next_step="Name a folder with files that end in .md")
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with (
        Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress,
        ThreadPoolExecutor(SIDE_BY_SIDE) as pool,
    ):
        bar = progress.add_task("checking", total=len(pages))

        def check(path: str) -> list[Json]:
            found = list(_check(api, path, files, space=space, prefix=prefix, branch=branch))
            progress.advance(bar)
            return found

        api.access_token()  # once, before several ask for it
        return [*_same_but_for_case(files), *(each for found in pool.map(check, pages) for each in found)]


def _same_but_for_case(files: Iterable[str]) -> Iterator[Json]:
    """Files that cannot both be in a space."""
    seen: dict[str, str] = {}
    for path in files:
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            message = f"is the same path as {other!r} where case does not count: rename one of them"
            yield {"rule": "path", "level": REFUSE, "line": 0, "message": message, "path": path}


def _check(api: Api, path: str, files: Mapping[str, Path], *, space: str, prefix: str, branch: str) -> Iterator[Json]:
    shown = path.encode(errors="replace").decode()
    try:
        content = text_of(files[path], files[path].read_bytes())
        if shown != path:
            raise CliError("the name is not UTF-8: rename the file")
    except CliError as error:
        yield {"rule": "encoding", "level": REFUSE, "line": 0, "message": error.message, "path": shown}
        return
    place = f"{prefix.strip('/')}/{path}".lstrip("/")
    asked = {"space": space, "branch": branch, "path": place, "content": content}
    try:
        found = api.post("/docs:check", asked).get("findings", [])
    except CliError as error:
        if error.passing or not error.status.get("code"):
            raise
        found = [{"rule": error.told.lower().replace("_", "-"), "level": REFUSE, "message": error.message}]
    lines = content.splitlines()
    for each in found:
        if not (each["rule"] == _BROKEN and _leads_to_a_file(each, path, lines, files)):
            yield {**each, "path": path}


def _leads_to_a_file(finding: Json, path: str, lines: list[str], files: Mapping[str, Path]) -> bool:
    """Whether the link at the finding's place leads to another of the files."""
    number = int(finding.get("line", 0))
    if not 0 < number <= len(lines):
        return False
    targets = [match[1] or match[2] for match in _LINK.finditer(lines[number - 1])]
    named = [each for each in targets if each in finding.get("message", "")] or targets
    return bool(named) and all(_target(each, path) in files for each in named)


def _target(link: str, path: str) -> str:
    name = unquote(link.partition("#")[0].partition("?")[0])
    base = "" if name.startswith("/") else str(PurePosixPath(path).parent)
    return normpath(f"{base}/{name.lstrip('/')}").lstrip("/")


def show_findings(findings: Iterable[Json], *, with_path: bool = False) -> None:
    """A line each, in the order they come."""
    found = list(findings)
    if not found:
        return
    rows = [[_where(each, with_path), _level(each.get("level", "")), each["rule"], each["message"]] for each in found]
    console.print(table(["WHERE", "LEVEL", "RULE", "WHAT"], rows[:SHOWN]))
    if len(rows) > SHOWN:
        console.print(f"and {len(rows) - SHOWN} more: --json shows them all, --rule one kind", style="dim")


def _where(finding: Json, with_path: bool) -> str:
    line, column = int(finding.get("line", 0)), int(finding.get("column", 0))
    place = f"{line}:{column}" if column else str(line) if line else ""
    if not with_path:
        return place or "page"
    return f"{finding.get('path', '')}:{place}".rstrip(":")


def _level(level: str) -> Text:
    return literal(level, {REFUSE: "red", "warn": "yellow"}.get(level, "dim"))


def _say_count(findings: list[Json]) -> None:
    refused = sum(each.get("level") == REFUSE for each in findings)
    if not findings:
        console.print("Nothing is wrong.", style="green")
        return
    console.print(literal(f"{len(findings)} findings; {refused} of them refuse a save"))
