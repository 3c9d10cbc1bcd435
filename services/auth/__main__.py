"""`python -m services.auth`: serves until told to stop. `init` makes what must be there before; `reset-admin` lets
the owner back in."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from automesh.core.clock import utc_now
from automesh.core.errors import AutomationError
from automesh.mesh.process import run
from automesh.mesh.settings import EXIT_REFUSED, read_settings
from automesh.telemetry.logs import configure_logging
from services.auth.app import build, parts
from services.auth.pki.hosts import parse_hosts
from services.auth.pki.init import initialise
from services.auth.pki.layout import SERVICES, Layout, Lifetimes, Plan
from services.auth.settings import InitSettings, Settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits 0 after a clean end, 78 when something must be mended first."""
    options = _parser().parse_args(arguments)
    try:
        if options.command is None:
            run(read_settings(Settings), build)
        elif options.command == "init":
            configure_logging("auth", "info")
            initialise(_plan(read_settings(InitSettings), options), utc_now())
        else:
            configure_logging("auth", "warning")
            asyncio.run(_reset_admin(read_settings(Settings)))
    except AutomationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_REFUSED)


async def _reset_admin(settings: Settings) -> None:
    async with parts(settings) as made:
        await made.first_admin.reset(made.lockout)
    sys.stdout.write(f"the new password of admin is in {Layout(settings.state_dir).admin_password}\n")


def _plan(settings: InitSettings, options: argparse.Namespace) -> Plan:
    """Options go before the environment."""
    seconds: float | None = options.leaf_lifetime_s
    return Plan(
        layout=Layout((options.state_dir or settings.state_dir).absolute()),
        trust_domain=options.trust_domain or settings.trust_domain,
        environment=options.environment or settings.environment,
        lifetimes=Lifetimes(
            issuer=settings.issuer_lifetime,
            leaf=timedelta(seconds=seconds) if seconds else settings.leaf_lifetime,
        ),
        keyring=settings.keyring_file,
        services=tuple(options.service or SERVICES),
        control_hosts=parse_hosts(settings.control_hosts),
        web_hosts=parse_hosts(options.web_hosts or settings.web_hosts),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.auth", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    init = commands.add_parser("init", help="make or renew authority, sealing keys, first identities; safe to repeat")
    init.add_argument("--state-dir", type=Path, help="where everything is kept (AUTOMESH_STATE_DIR)")
    init.add_argument("--trust-domain", help="of every SPIFFE id (AUTOMESH_TRUST_DOMAIN)")
    init.add_argument("--environment", help="the /ns/ part of every SPIFFE id (AUTOMESH_ENVIRONMENT)")
    init.add_argument("--leaf-lifetime-s", type=float, help="life of first certificates (AUTOMESH_LEAF_LIFETIME)")
    init.add_argument("--service", action="append", help=f"make an identity for this one (default: {SERVICES})")
    init.add_argument("--web-hosts", help="names of the gateway for browsers, separated by commas")
    commands.add_parser("reset-admin", help="give the user admin a new password, written to the state folder")
    return parser


if __name__ == "__main__":
    main()
