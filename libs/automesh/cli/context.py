"""What all commands share: the common flags, and the signed-in client made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automesh.cli.api import Api
from automesh.cli.target import CliSettings, find_target
from automesh.mesh.settings import program_version, read_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def settings_of(context: typer.Context) -> CliSettings:
    """The settings that the flags before the command, and the environment, give."""
    settings = context.find_root().obj
    return settings if isinstance(settings, CliSettings) else read_settings(CliSettings)


def api_of(context: typer.Context) -> Api:
    """A client of the target that the flags name, closed with the command."""
    api = Api(find_target(settings_of(context)))
    context.call_on_close(api.close)
    return api


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"automesh {program_version()}")
        raise typer.Exit


def common_flags(
    context: typer.Context,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of the local stack.", show_default=".automesh")] = None,
    url: Annotated[str, typer.Option(help="A gateway elsewhere, for example https://automesh.example:8443.")] = "",
    ca_file: Annotated[Path | None, typer.Option(help="CA of that gateway's certificate.")] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Reads the flags that stand before the command."""
    given = {"state_dir": state_dir, "url": url or None, "ca_file": ca_file}
    context.obj = CliSettings.model_validate(
        read_settings(CliSettings).model_dump() | {k: v for k, v in given.items() if v is not None}
    )
