"""`automesh model ...`: train, watch and sweep; the registry and its gates."""

from __future__ import annotations

import typer

from automesh.cli import model_gates, model_predict, model_registry, model_runs, model_runs_sweeps

app = typer.Typer(help="Train models, watch them learn, register and serve them.", no_args_is_help=True)
model_runs.register(app)
app.add_typer(model_runs_sweeps.app, name="sweep")
model_registry.register(app)
model_gates.register(app)
app.command()(model_predict.predict)
