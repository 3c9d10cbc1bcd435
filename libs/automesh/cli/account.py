"""Who you are: `automesh login|logout|whoami|token|audit|agents`, `automesh cert|key|user ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from automesh.cli.api import ADMIN, Api, Json
from automesh.cli.context import AsJson, api_of, settings_of
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json, table
from automesh.cli.target import find_target
from automesh.mesh.certificates import key_to_pem, new_csr, new_key
from automesh.mesh.identity import Identity, IdentityFiles

certificates = typer.Typer(help="Certificates for your own tools.", no_args_is_help=True)
keys = typer.Typer(help="API keys for programs.", no_args_is_help=True)
users = typer.Typer(help="The people of your tenant.", no_args_is_help=True)


def login(
    context: typer.Context,
    username: Annotated[str, typer.Option("--username", "-u", prompt=True, help="Your name.")] = ADMIN,
    password_file: Annotated[Path | None, typer.Option(help="A file with the password.", exists=True)] = None,
) -> None:
    """Sign in. On the machine of the stack you need not: the CLI signs in as admin by itself."""
    api = Api(find_target(settings_of(context)))
    if password_file is not None:
        password = password_file.read_text(encoding="utf-8").strip()
    else:
        password = typer.prompt("Password", hide_input=True)
    api.login(username, password)
    who = api.get("/auth/whoami")
    console.print(literal(f"Signed in to {api.target.url} as {who['name']} of tenant {who['tenantId']}."))


def logout(context: typer.Context) -> None:
    """Sign out, and revoke what was remembered."""
    api_of(context).logout()
    console.print("Signed out.")


def whoami(context: typer.Context, as_json: AsJson = False) -> None:
    """Who you are and what you may do."""
    who = api_of(context).get("/auth/whoami")
    if as_json:
        print_json(who)
        return
    rows = [["name", who["name"]], ["id", who["subject"]], ["tenant", who["tenantId"]]]
    rows += [["roles", ", ".join(who.get("roles", []))], ["permissions", ", ".join(who.get("permissions", []))]]
    console.print(table(["", ""], rows))


def token(context: typer.Context) -> None:
    """Print an access token (5 minutes), for curl and grpcurl."""
    print(api_of(context).access_token())


def audit(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    subject: Annotated[str, typer.Option(help="Only what this user or key did.")] = "",
    outcome: Annotated[str, typer.Option(help="Only this outcome, for example PERMISSION_DENIED.")] = "",
    as_json: AsJson = False,
) -> None:
    """Who did what, newest first."""
    answer = api_of(context).get("/audit/events", pageSize=limit, subject=subject, outcome=outcome)
    events = answer.get("events", [])
    if as_json:
        print_json(events)
        return
    rows = [
        [age(e["time"]), e.get("subject") or e.get("workload", ""), e["method"], e.get("resource", ""), e["outcome"]]
        for e in events
    ]
    console.print(table(["AGO", "WHO", "WHAT", "ABOUT", "OUTCOME"], rows))


@certificates.command("issue")
def issue_certificate(
    context: typer.Context,
    client: Annotated[str, typer.Option("--client", help="Name of the tool, for example laptop-ann.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for cert.pem, key.pem, bundle.pem.", show_default="state")
    ] = None,
) -> None:
    """Get a client certificate: it opens TLS and has no rights of its own, your token decides what you may do."""
    files = issue_client(api_of(context), client, out)
    told = f"{files.load().spiffe_id} until {files.load().validity[1]:%Y-%m-%d %H:%M} UTC, in {files.folder}"
    console.print(literal(told), soft_wrap=True)


def issue_client(api: Api, name: str, folder: Path | None = None) -> IdentityFiles:
    """Makes a key here, has it signed, and keeps both with the roots in `folder`."""
    key = new_key()
    chain = api.post("/auth/certificates", {"name": name, "csrPem": new_csr(key).decode()})["chain"]
    files = IdentityFiles(folder or api.target.state.folder / "clients" / name)
    files.store(Identity(chain["certificatePem"].encode(), key_to_pem(key), chain["bundlePem"].encode()))
    return files


@keys.command("create")
def create_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    permission: Annotated[list[str] | None, typer.Option(help="Only this; repeat it. Empty: all of yours.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown once."""
    answer = api_of(context).post("/apikeys", {"apiKey": {"name": name, "permissions": permission or []}})
    if as_json:
        print_json(answer)
        return
    console.print(f"{answer['apiKey']['keyId']}  (shown only now; give it to programs as AUTOMESH_API_KEY)")
    print(answer["secret"])


@keys.command("list")
def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """List your keys."""
    found = api_of(context).every("/apikeys", "apiKeys")
    if as_json:
        print_json(found)
        return
    rows = [[e["keyId"], e["name"], age(e["createTime"]), age(e.get("lastUsedTime") or "")] for e in found]
    console.print(table(["KEY", "NAME", "AGE", "USED"], rows))


@keys.command("revoke")
def revoke_key(context: typer.Context, key_id: str) -> None:
    """End a key."""
    api_of(context).delete(f"/apikeys/{key_id}")
    console.print(f"{key_id} is revoked.")


@users.command("create")
def create_user(
    context: typer.Context,
    username: str,
    role: Annotated[list[str] | None, typer.Option("--role", "-r", help="admin, developer, viewer, agent.")] = None,
    tenant: Annotated[str, typer.Option(help="Another tenant than yours (operators only).")] = "",
    password_file: Annotated[Path | None, typer.Option(help="A file with the password.", exists=True)] = None,
) -> None:
    """Add a user."""
    if password_file is not None:
        password = password_file.read_text(encoding="utf-8").strip()
    else:
        password = typer.prompt("Password for the new user", hide_input=True, confirmation_prompt=True)
    user = {"username": username, "roles": role or ["developer"], "tenantId": tenant}
    made = api_of(context).post("/users", {"user": user, "password": password})
    console.print(literal(f"{made['userId']} {made['username']} in tenant {made['tenantId']}"))


@users.command("list")
def list_users(context: typer.Context, as_json: AsJson = False) -> None:
    """List the users of your tenant."""
    found = api_of(context).every("/users", "users")
    if as_json:
        print_json(found)
        return
    rows = [
        [e["userId"], e["username"], ", ".join(e.get("roles", [])), "disabled" if e.get("disabled") else ""]
        for e in found
    ]
    console.print(table(["USER", "NAME", "ROLES", ""], rows))


def _agent_state(agent: Json) -> Text:
    if not agent.get("connected"):
        return Text(f"gone {age(agent.get('lastSeenTime', ''))}", "dim")
    return Text("drains", "yellow") if agent.get("draining") else Text("connected", "green")


def agents(context: typer.Context, as_json: AsJson = False) -> None:
    """The agents, what they can do and what they hold."""
    found = api_of(context).every("/agents", "agents")
    if as_json:
        print_json(found)
        return
    rows = [
        [
            e["agentId"],
            e["name"],
            _agent_state(e),
            f"{e.get('leases', 0)} of {e.get('slots', 0)}",
            ", ".join(c["type"] for c in e.get("capabilities", [])),
        ]
        for e in found
    ]
    console.print(table(["AGENT", "NAME", "STATE", "BUSY", "CAN DO"], rows))
    if not found:
        raise CliError("no agent has come", next_step="Look: automesh logs agent")
