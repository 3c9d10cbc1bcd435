"""What `automesh doc` is told of spaces, documents and branches, and where they are below /api/v1."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from automesh.cli.api import Api, Json
from automesh.cli.errors import CliError

MAIN = "main"
DOCUMENT_NOT_FOUND = "DOCUMENT_NOT_FOUND"

SpaceName = Annotated[str, typer.Argument(metavar="SPACE", help="Which space.")]
Space = Annotated[str, typer.Option("--space", "-s", help="In which space.")]
Branch = Annotated[str, typer.Option("--branch", "-b", help="On which branch.", show_default="main")]
Document = Annotated[
    str, typer.Argument(metavar="DOCUMENT", help="Its id, SPACE:PATH (handbook:guides/start.md), or PATH with --space.")
]
Message = Annotated[str, typer.Option("--message", "-m", help="Why; kept with the revision.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")]


def space_path(space: str) -> str:
    """Where a space is."""
    return f"/spaces/{quote(space, safe='')}"


def document_path(document_id: str) -> str:
    """Where a document is."""
    return f"/docs/{quote(document_id, safe='')}"


def place_of(given: str, space: str) -> tuple[str, str]:
    """Space and path of SPACE:PATH, or of PATH with a space beside it."""
    name, colon, path = given.partition(":")
    if not colon:
        name, path = space, given
    if not name or not path:
        raise CliError(
            f"{given!r} does not say in which space it is",
            next_step="Name both: SPACE:PATH, for example handbook:guides/start.md   (or --space SPACE)",
        )
    if space and name != space:
        raise CliError(f"{given!r} is in {name}, but --space says {space}")
    if {".", ".."} & set(path.split("/")):
        raise CliError(
            f"the path {path!r} goes up or stays", next_step="Name it from the top: handbook:guides/start.md"
        )
    return name, path.strip("/")


def is_id(given: str) -> bool:
    """Whether it can only be the id of a document."""
    return given.startswith("doc_") and not set(given) & set(":/.")


def find_document(api: Api, given: str, *, space: str = "", branch: str = "") -> Json:
    """The document with its content, by id or by its place (where it once was leads to it as well)."""
    if is_id(given):
        return api.get(document_path(given), branch=branch)
    name, path = place_of(given, space)
    return api.get(f"{space_path(name)}/docs/{quote(path)}", branch=branch)


def revision_of(api: Api, document: Json, given: str, *, branch: str = "") -> str:
    """A revision's id: as given, or "~2" for the second before the head."""
    if not given.startswith("~"):
        return given
    back = given[1:] or "1"
    if not back.isdecimal():
        raise CliError(f"{given!r} is no revision", next_step="Name its id, or ~N for the Nth before the latest")
    path = f"{document_path(document['documentId'])}/revisions"
    found = api.get(path, branch=branch, pageSize=min(int(back) + 1, 1000)).get("revisions", [])
    if len(found) <= int(back):
        raise CliError(
            f"{document['path']} has only {len(found)} revisions",
            next_step=f"See them: automesh doc log {document['documentId']}",
        )
    return str(found[int(back)]["revisionId"])


def word(value: str, prefix: str) -> str:
    """CHANGE_EDIT -> edit."""
    return value.removeprefix(prefix).lower().replace("_", " ")
