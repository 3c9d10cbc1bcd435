"""`automesh model ...`: trainings, models, aliases and predictions."""

from __future__ import annotations

import typer

from automesh.cli import model_gates, model_registry

app = typer.Typer(help="Train models, register, gate and use them.", no_args_is_help=True)
model_registry.register(app)
model_gates.register(app)
