"""`automesh mesh ...`: what the mesh looks like, and why a connection fails."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from automesh.cli.context import AsJson, api_of, settings_of
from automesh.cli.errors import CliError
from automesh.cli.output import coloured, console, literal, print_json, table
from automesh.core.clock import utc_now
from automesh.core.errors import AutomationError
from automesh.local.state import LocalState
from automesh.mesh.identity import Identity, IdentityFiles

app = typer.Typer(help="Look at the mesh.", no_args_is_help=True)
CONNECT_S = 3.0
SOON = 0.2


class Target(NamedTuple):
    """A process to shake hands with, and the SPIFFE id it must show (empty: any)."""

    what: str
    host: str
    port: int
    expected: str


@app.command()
def services(context: typer.Context, as_json: AsJson = False) -> None:
    """The services and how many processes serve each."""
    api = api_of(context)
    answer = api.get("/mesh/services")
    health = {each["service"]: each["status"] for each in api.get("/health").get("services", [])}
    if as_json:
        print_json(answer)
        return
    rows = [
        [
            each["name"],
            coloured(health.get(each["name"], "SERVING" if each.get("healthyEndpoints") else "NOT_SERVING")),
            f"{each.get('healthyEndpoints', 0)} of {each.get('endpoints', 0)}",
            ", ".join(each.get("versions", [])),
        ]
        for each in answer.get("services", [])
    ]
    console.print(table(["SERVICE", "HEALTH", "HEALTHY", "VERSION"], rows))
    console.print(f"registry: {answer.get('registry', '?')}", style="dim")


@app.command()
def endpoints(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="Only this service.")] = "",
    as_json: AsJson = False,
) -> None:
    """The processes: address, identity, health."""
    api = api_of(context)
    answer = api.get(f"/mesh/services/{service}/endpoints" if service else "/mesh/endpoints")
    found = answer.get("endpoints", [])
    if as_json:
        print_json(found)
        return
    rows = [
        [each["service"], f"{each['address']}:{each['port']}", _health(each), each["spiffeId"], each["instanceId"]]
        for each in found
    ]
    console.print(table(["SERVICE", "ADDRESS", "HEALTH", "IDENTITY", "INSTANCE"], rows))


@app.command()
def address(context: typer.Context, service: str) -> None:
    """Print host:port of one healthy process, for tools such as grpcurl."""
    found = api_of(context).get(f"/mesh/services/{service}/endpoints").get("endpoints", [])
    for each in found:
        if each.get("healthy"):
            print(f"{each['address']}:{each['port']}")
            return
    raise CliError(f"no process of {service} is healthy", next_step="Look: automesh mesh endpoints")


@app.command()
def check(
    context: typer.Context,
    where: Annotated[
        str, typer.Argument(metavar="[SERVICE|HOST:PORT]", help="What to check; empty: all services.")
    ] = "",
    identity: Annotated[
        Path | None, typer.Option(help="Folder with cert.pem, key.pem, bundle.pem.", show_default="the gateway's")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain TLS: gRPC only says "Socket closed", this says which certificate is wrong and how to mend it."""
    state = LocalState(settings_of(context).state_dir)
    files = IdentityFiles(identity or state.identities("gateway"))
    findings = [_own(files)]
    if not findings[0]["problem"]:
        held = files.load()
        findings += [_remote(held, files, target) for target in _targets(context, where)]
    if as_json:
        print_json(findings)
    else:
        for each in findings:
            mark = ("✗", "red") if each["problem"] else ("✓", "green")
            told = literal(f" {each['what']}: {each['problem'] or each['fact']}")
            console.print(Text.assemble(mark, told), soft_wrap=True)
    if any(each["problem"] for each in findings):
        raise typer.Exit(1)


def _targets(context: typer.Context, where: str) -> list[Target]:
    if ":" in where:
        host, _, port = where.rpartition(":")
        if not port.isdigit():
            raise CliError(f"{where!r} is neither a service nor HOST:PORT")
        return [Target(where, host, int(port), "")]
    path = f"/mesh/services/{where}/endpoints" if where else "/mesh/endpoints"
    found = api_of(context).get(path).get("endpoints", [])
    return [
        Target(f"{each['service']} {each['address']}:{each['port']}", each["address"], each["port"], each["spiffeId"])
        for each in found
    ]


def _own(files: IdentityFiles) -> dict[str, str]:
    what = f"own certificate {files.folder}"
    try:
        held = files.load()
        starts, ends = held.validity
        spiffe_id = str(held.spiffe_id)
    except AutomationError as error:
        return {"what": what, "fact": "", "problem": error.message}
    now = utc_now()
    if not starts <= now < ends:
        problem = f"valid only from {starts:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC: renew it (automesh up does)"
        return {"what": what, "fact": "", "problem": problem}
    soon = " (soon)" if (ends - now) < (ends - starts) * SOON else ""
    return {"what": what, "fact": f"{spiffe_id}, until {ends:%Y-%m-%d %H:%M} UTC{soon}", "problem": ""}


def _remote(held: Identity, files: IdentityFiles, target: Target) -> dict[str, str]:
    what, expected = target.what, target.expected
    try:
        uris = _handshake(held, files, target.host, target.port)
    except ssl.SSLCertVerificationError as error:
        problem = f"its certificate is not signed by a CA in bundle.pem: {error.verify_message}"
    except ssl.SSLError as error:
        problem = f"it refused our certificate or TLS itself ({error.reason}): is our certificate signed by its CA?"
    except OSError as error:
        problem = f"nothing answers there: {error.strerror or error}"
    else:
        if expected and uris != [expected]:
            problem = f"it presents {', '.join(uris) or 'no SPIFFE id'}, but the registry says {expected}"
        else:
            return {"what": what, "fact": ", ".join(uris), "problem": ""}
    return {"what": what, "fact": "", "problem": problem}


def _handshake(held: Identity, files: IdentityFiles, host: str, port: int) -> list[str]:
    """Does what a client of the mesh does, and one read more: TLS 1.3 tells of a refused client only then."""
    context = ssl.create_default_context(cadata=held.bundle_pem.decode())
    context.check_hostname = False  # the SPIFFE id is what counts, and it is compared by the caller
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, port), CONNECT_S) as raw, context.wrap_socket(raw) as tls:
        tls.settimeout(CONNECT_S)
        tls.recv(1)  # the server's SETTINGS, or its alert
        presented: Any = tls.getpeercert() or {}
        return [str(value) for kind, value in presented.get("subjectAltName", ()) if kind == "URI"]


def _health(endpoint: dict[str, object]) -> Text:
    return coloured("SERVING" if endpoint.get("healthy") else "NOT_SERVING")
