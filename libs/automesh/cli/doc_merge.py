"""Somebody else was faster: who, and what came of bringing both texts together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.doc_places import document_path
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, table

STALE_WRITE = "automesh.doc.v1.StaleWrite"
_SHOWN = 3  # lines of either side


def stale_of(error: CliError) -> Mapping[str, Any] | None:
    """What a write that came too late was told; None when the error is another."""
    return error.detail(STALE_WRITE)


def whole_merge(api: Api, stale: Mapping[str, Any], text: str) -> Json:
    """The merge of `text` with what is there now; asked for anew when the answer left it out for its size."""
    merge: Json = dict(stale.get("merge", {}))
    if merge.get("content") and not merge.get("contentOmitted"):
        return merge
    asked = {"content": text, "ours": stale.get("expectedHead", ""), "theirs": stale.get("head", "")}
    return api.post(f"{document_path(str(stale['documentId']))}:merge", asked)


def show_stale(stale: Mapping[str, Any], merge: Json) -> None:
    """Who wrote meanwhile, and where people must decide."""
    when = age(str(stale.get("time", "")))
    who = literal(str(stale.get("author", "somebody")), "bold")
    console.print(Text.assemble(who, f" has saved this document {when} ago, after you had opened it."), soft_wrap=True)
    conflicts = merge.get("conflicts", [])
    if not conflicts:
        console.print("Your changes and theirs do not touch each other.")
        return
    rows = [[str(each.get("line", 0)), _few(each, "ours"), _few(each, "theirs")] for each in conflicts]
    console.print(table(["LINE", "YOURS", "THEIRS"], rows))
    count = "1 place needs" if len(conflicts) == 1 else f"{len(conflicts)} places need"
    console.print(f"{count} a decision, between <<<<<<< and >>>>>>> in the text.")


def _few(conflict: Json, side: str) -> str:
    lines = conflict.get(side, "").splitlines()
    more = [f"… {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])
