"""`automesh doc space ...`: spaces, who may do what in them, and the rules of their documents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_places import SpaceName, space_path, word
from automesh.cli.errors import CliError
from automesh.cli.messages import read_object, with_whole_names
from automesh.cli.output import age, console, literal, print_json, table

app = typer.Typer(help="Spaces: where documents live together, under the same rules.", no_args_is_help=True)
ROLES = {"reader": "MEMBER_ROLE_READER", "writer": "MEMBER_ROLE_WRITER", "owner": "MEMBER_ROLE_OWNER"}
LEVELS = {"off": "RULE_LEVEL_OFF", "warn": "RULE_LEVEL_WARN", "refuse": "RULE_LEVEL_REFUSE", "default": ""}
VISIBILITIES = {"tenant": "VISIBILITY_TENANT", "members": "VISIBILITY_MEMBERS"}

Title = Annotated[str | None, typer.Option("--title", help="What people read.")]
Description = Annotated[str | None, typer.Option("--description", help="What is in it.")]
Visible = Annotated[str | None, typer.Option("--visible", help="For whom it is there: tenant or members.")]
Members = Annotated[
    list[str] | None, typer.Option("--member", help="USER=reader, writer or owner; USER= takes it away. Repeat it.")
]
Levels = Annotated[
    list[str] | None, typer.Option("--level", "-l", help="RULE=off, warn, refuse or default. Repeat it.")
]
Approvals = Annotated[
    int | None, typer.Option("--approvals", min=0, max=20, help="So many must approve a change of main.")
]
Rules = Annotated[
    Path | None, typer.Option("--rules", "-r", exists=True, dir_okay=False, help="The rules as YAML or JSON.")
]


@app.command()
def create(
    context: typer.Context,
    space: Annotated[str, typer.Argument(help="Its name: a-z, 0-9 and -, part of addresses.")],
    title: Title = None,
    description: Description = None,
    visible: Visible = None,
    member: Members = None,
    level: Levels = None,
    approvals: Approvals = None,
    rules: Rules = None,
    as_json: AsJson = False,
) -> None:
    """Make a space.

    Example: automesh doc space create handbook --title "Our handbook" --level broken-link=refuse
    """
    api = api_of(context)
    wanted = _Wanted(
        title=title, description=description, visible=visible, members=member, levels=level, approvals=approvals,
        rules=rules,
    )  # fmt: skip
    made = api.post("/spaces", wanted.onto({"space": space}))
    if as_json:
        print_json(made)
        return
    console.print(literal(f"the space {space} is there"))
    console.print(literal(f"Fill it: automesh doc push DIR --space {space}", "dim"), soft_wrap=True)


@app.command("list")
def list_spaces(context: typer.Context, as_json: AsJson = False) -> None:
    """List the spaces that you find, by name."""
    found = api_of(context).every("/spaces", "spaces")
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("No spaces. Make one: [bold]automesh doc space create handbook[/bold]", highlight=False)
        return
    rows = [
        [each["space"], each.get("title", ""), str(each.get("documentCount", 0)),
         word(each.get("visibility", ""), "VISIBILITY_"), age(each.get("updateTime", "")), each.get("description", "")]
        for each in found
    ]  # fmt: skip
    console.print(table(["SPACE", "TITLE", "DOCUMENTS", "FOR", "CHANGED", "DESCRIPTION"], rows))


@app.command()
def show(context: typer.Context, space: SpaceName, as_json: AsJson = False) -> None:
    """Show a space with its members and rules."""
    found = api_of(context).get(space_path(space))
    if as_json:
        print_json(found)
        return
    rules = found.get("rules", {})
    facts: list[tuple[str, Any]] = [
        ("space", found["space"]),
        ("title", found.get("title")),
        ("description", found.get("description")),
        ("for", word(found.get("visibility", ""), "VISIBILITY_")),
        ("documents", found.get("documentCount")),
        ("made", f"{age(found.get('createTime', ''))} ago by {found.get('createdBy', '')}"),
        ("approvals", rules.get("requiredApprovals") or ""),
        ("front matter", "as its schema says" if rules.get("frontMatterSchema") else ""),
        ("trash kept", _days(rules.get("trashRetention", ""))),
        ("stale after", _days(rules.get("reviewAfter", ""))),
        ("own words", len(rules.get("words", [])) or ""),
        ("analytics", "store no person" if rules.get("anonymousAnalytics") else ""),
    ]
    console.print(table(["", ""], [[label, str(value)] for label, value in facts if value]))
    if members := found.get("members"):
        console.print(
            table(["MEMBER", "MAY"], [[each["user"], word(each["role"], "MEMBER_ROLE_")] for each in members])
        )
    if levels := rules.get("levels"):
        console.print(table(["RULE", "LEVEL"], [[rule, _level(level)] for rule, level in sorted(levels.items())]))


@app.command()
def edit(
    context: typer.Context,
    space: SpaceName,
    title: Title = None,
    description: Description = None,
    visible: Visible = None,
    member: Members = None,
    level: Levels = None,
    approvals: Approvals = None,
    rules: Rules = None,
    as_json: AsJson = False,
) -> None:
    """Change a space: what is not named stays as it is.

    Example: automesh doc space edit handbook --member ann=owner --level spelling=warn --approvals 1
    """
    api = api_of(context)
    wanted = _Wanted(
        title=title, description=description, visible=visible, members=member, levels=level, approvals=approvals,
        rules=rules,
    )  # fmt: skip
    changed = api.put(
        space_path(space), wanted.onto(api.get(space_path(space)))
    )  # with the etag that was read: nobody's change is lost
    if as_json:
        print_json(changed)
    else:
        console.print(literal(f"the space {space} is changed"))


@app.command()
def delete(
    context: typer.Context,
    space: SpaceName,
    force: Annotated[bool, typer.Option("--force", help="Although it has documents: they are gone for good.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; needed with --force, and audited.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a space with everything in it."""
    api = api_of(context)
    if not yes:
        count = api.get(space_path(space)).get("documentCount", 0)
        typer.confirm(f"Delete the space {space!r} with its {count} documents for good?", abort=True)
    api.delete(space_path(space), force="true" if force else "", reason=reason)
    console.print(literal(f"the space {space} is deleted"))


def ensure_space(api: Api, space: str, title: str = "") -> bool:
    """Makes the space unless it is there; says whether it was made."""
    try:
        api.get(space_path(space))
    except CliError as error:
        if error.told != "SPACE_NOT_FOUND":
            raise
        api.post("/spaces", {"space": space, "title": title})
        return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What flags say of a space; None says nothing."""

    title: str | None
    description: str | None
    visible: str | None
    members: list[str] | None
    levels: list[str] | None
    approvals: int | None
    rules: Path | None

    def onto(self, body: Json) -> Json:
        """The space with what was said."""
        said: Json = {"title": self.title, "description": self.description}
        if self.visible is not None:
            said["visibility"] = _one_of(VISIBILITIES, self.visible, "--visible")
        if self.members:
            said["members"] = _members(body.get("members", []), self.members)
        said["rules"] = self._rules(_rules(self.rules) if self.rules else dict(body.get("rules", {})))
        return {**body, **{key: value for key, value in said.items() if value is not None}}

    def _rules(self, rules: Json) -> Json:
        if self.approvals is not None:
            rules["requiredApprovals"] = self.approvals
        for rule, level in _pairs(self.levels or [], "--level"):
            wanted = _one_of(LEVELS, level, "--level")
            levels = {name: each for name, each in rules.get("levels", {}).items() if name != rule}
            rules["levels"] = {**levels, rule: wanted} if wanted else levels
        return rules


def _rules(file: Path) -> Json:
    from automesh.doc.v1 import space_pb2  # noqa: PLC0415 - only this option needs it

    found: Json = with_whole_names(
        read_object(file, "rules, with keys such as levels and words"), space_pb2.SpaceRules.DESCRIPTOR
    )
    return found


def _members(now: list[Json], given: list[str]) -> list[Json]:
    roles = {each["user"]: each["role"] for each in now}
    for user, role in _pairs(given, "--member"):
        if role:
            roles[user] = _one_of(ROLES, role, "--member")
        else:
            roles.pop(user, None)
    return [{"user": user, "role": role} for user, role in roles.items()]


def _pairs(given: list[str], flag: str) -> list[tuple[str, str]]:
    pairs = [each.partition("=") for each in given]
    wrong = [key + equals + value for key, equals, value in pairs if not key or not equals]
    if wrong:
        raise CliError(f"{flag} {wrong[0]!r} is not NAME=VALUE")
    return [(key, value) for key, _, value in pairs]


def _one_of(known: Json, given: str, flag: str) -> str:
    if given not in known:
        raise CliError(f"{flag}: {given!r} is none of {', '.join(known)}")
    return str(known[given])


def _days(duration: str) -> str:
    """2592000s -> 30 days."""
    seconds = float(duration.rstrip("s") or 0)
    days = seconds / 86_400
    return f"{days:g} days" if days >= 1 else f"{seconds:g} s" if seconds else ""


def _level(level: str) -> Text:
    name = word(level, "RULE_LEVEL_")
    return literal(name, {"refuse": "red", "warn": "yellow"}.get(name, "dim"))
