"""`automesh doc template ...`: documents to begin with; what is left open is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_files import text_of
from automesh.cli.doc_pages import say_saved
from automesh.cli.doc_places import Branch, Message, Space, word
from automesh.cli.errors import CliError
from automesh.cli.messages import read_object, with_whole_names
from automesh.cli.output import console, literal, print_json, table

app = typer.Typer(help="Templates: documents to begin with.", no_args_is_help=True)
TemplateId = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its name or its id.")]
_TYPE = "VARIABLE_TYPE_"


@app.command("list")
def list_templates(context: typer.Context, space: Space = "", as_json: AsJson = False) -> None:
    """List templates: the library's, and those of the spaces that you find."""
    found = api_of(context).every("/templates", "templates", space=space)
    if as_json:
        print_json(found)
        return
    rows = [
        [each["templateId"], each.get("space") or "library", each.get("name", ""),
         ", ".join(variable["name"] for variable in each.get("variables", [])), each.get("description", "")]
        for each in found
    ]  # fmt: skip
    console.print(table(["TEMPLATE", "SPACE", "NAME", "ASKS FOR", "DESCRIPTION"], rows))


@app.command()
def show(context: typer.Context, template: TemplateId, as_json: AsJson = False) -> None:
    """Show a template: its variables and its text."""
    found = api_of(context).get(template_path(template))
    if as_json:
        print_json(found)
        return
    console.print(literal(f"{found.get('name', '')}: {found.get('description', '')}", "bold"))
    rows = [
        [each["name"], word(each.get("type", ""), _TYPE), "yes" if each.get("required") else "", _default(each),
         each.get("help", "") or each.get("label", "")]
        for each in found.get("variables", [])
    ]  # fmt: skip
    console.print(table(["VARIABLE", "TYPE", "NEEDED", "DEFAULT", "WHAT"], rows))
    console.print(literal(found.get("body", "")))


@app.command()
def render(
    context: typer.Context,
    template: TemplateId,
    values: Annotated[
        list[str] | None, typer.Option("--value", "-v", help="NAME=VALUE; VALUE is JSON, or else text. Repeat it.")
    ] = None,
    space: Annotated[str, typer.Option("--space", "-s", help="Save the document in this space.")] = "",
    path: Annotated[str, typer.Option("--path", help="Where to.", show_default="where the template says")] = "",
    branch: Branch = "",
    message: Message = "",
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Ask for what is not given.")] = True,
    as_json: AsJson = False,
) -> None:
    """Fill a template in; with --space the document is made at once.

    Example: automesh doc template render adr -v title="Use PostgreSQL" --space handbook
    """
    api = api_of(context)
    found = api.get(template_path(template))
    given = _given(values or [])
    if ask and sys.stdin.isatty():
        given |= _asked(found.get("variables", []), given)
    answer = api.post(f"{template_path(found['templateId'])}:render", {"values": given, "space": space})
    if not space:
        print_json(answer) if as_json else sys.stdout.write(answer.get("content", ""))
        return
    _save(api, answer, space=space, path=path, branch=branch, message=message, as_json=as_json)


@app.command()
def create(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The text, in Jinja's language.")],
    space: Space,
    name: Annotated[str, typer.Option("--name", "-n", help="What people choose it by.")],
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    path: Annotated[
        str, typer.Option("--path", help="Where its documents go, for example adr/{{ title | slug }}.md")
    ] = "",
    variables: Annotated[
        Path | None,
        typer.Option("--variables", exists=True, dir_okay=False, help="What is asked for: variables: [...]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a template of a file."""
    body: Json = {"space": space, "name": name, "description": description, "path": path}
    body["body"] = text_of(file, file.read_bytes())
    if variables:
        from automesh.doc.v1 import template_service_pb2 as pb  # noqa: PLC0415 - only this option needs it

        read = read_object(variables, "the key variables, a list")
        body["variables"] = with_whole_names(read, pb.Template.DESCRIPTOR).get("variables", [])
    made = api_of(context).post("/templates", body)
    if as_json:
        print_json(made)
    else:
        console.print(literal(f"{made['templateId']} is there: automesh doc template render {made['templateId']}"))


@app.command()
def delete(context: typer.Context, template: TemplateId) -> None:
    """Remove a template of a space."""
    api_of(context).delete(template_path(template))
    console.print(literal(f"{template} is gone"))


def template_path(template_id: str) -> str:
    """Where a template is."""
    return f"/templates/{quote(template_id, safe='')}"


def _save(api: Api, answer: Json, *, space: str, path: str, branch: str, message: str, as_json: bool) -> None:
    where = path or answer.get("path", "")
    if not where:
        raise CliError("the template does not say where its documents go", next_step="Say it: --path FOLDER/NAME.md")
    body = {"space": space, "branch": branch, "path": where, "content": answer.get("content", ""), "message": message}
    made = api.post("/docs", body)
    if as_json:
        print_json(made)
    else:
        say_saved(made, "is there")


def _given(values: list[str]) -> Json:
    given: Json = {}
    for each in values:
        name, equals, text = each.partition("=")
        if not name or not equals:
            raise CliError(f"--value {each!r} is not NAME=VALUE")
        given[name] = _value(text)
    return given


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _asked(variables: list[Json], given: Json) -> Json:
    """What the person types for the variables that are not given."""
    return {each["name"]: _typed(each) for each in variables if each["name"] not in given}


def _typed(variable: Json) -> Any:
    kind = word(variable.get("type", ""), _TYPE)
    label = variable.get("label") or variable["name"]
    if kind == "boolean":
        return typer.confirm(label, default=bool(variable.get("default", False)))
    hint = " | ".join(variable.get("choices", [])) or {"list": "a, b, c", "date": "2026-01-31"}.get(kind, "")
    default = _default(variable)
    needed = variable.get("required") and not default
    text = typer.prompt(f"{label} ({hint})" if hint else label, default=None if needed else default)
    if kind == "list":
        return [each.strip() for each in text.split(",") if each.strip()]
    return _value(text) if kind == "number" else text


def _default(variable: Json) -> str:
    default = variable.get("default", "")
    return ", ".join(map(str, default)) if isinstance(default, list) else str(default or "")
