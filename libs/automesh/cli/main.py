"""The `automesh` command."""

from __future__ import annotations

import sys

import typer
from rich.text import Text

from automesh.cli import account, data, demo, doc, mesh, model, stack, tasks, webhooks
from automesh.cli.context import common_flags
from automesh.cli.output import errors, literal
from automesh.core.errors import AutomationError

cli = typer.Typer(
    help="A self-hosted automation platform: submit development tasks, agents do them, you watch.",
    epilog="Begin: automesh up, then automesh task submit test_generation -i module=packaging.version --watch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
cli.callback()(common_flags)
stack.register(cli)
cli.command()(demo.demo)
cli.command()(account.login)
cli.command()(account.logout)
cli.command()(account.whoami)
cli.command()(account.token)
cli.command()(account.audit)
cli.command("agents")(account.agents)
cli.add_typer(tasks.app, name="task")
cli.add_typer(data.app, name="data")
cli.add_typer(model.app, name="model")
cli.add_typer(doc.app, name="doc")
cli.add_typer(webhooks.app, name="webhook")
cli.add_typer(mesh.app, name="mesh")
cli.add_typer(account.certificates, name="cert")
cli.add_typer(account.keys, name="key")
cli.add_typer(account.users, name="user")

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130


def app() -> None:
    """Runs the command; errors are one message and (where there is one) the next step, never a traceback."""
    try:
        cli()
    except AutomationError as error:
        errors.print(Text.assemble(("error: ", "red"), literal(error.message)), soft_wrap=True)
        if next_step := getattr(error, "next_step", ""):
            errors.print(literal(f"       {next_step}", "dim"), soft_wrap=True)
        sys.exit(EXIT_ERROR)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        errors.print(Text.assemble(("error: ", "red"), literal(where + (error.strerror or str(error)))), soft_wrap=True)
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
