"""`automesh webhook ...`: tells other systems about changes in the model registry."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from automesh.cli.context import AsJson, api_of
from automesh.cli.output import age, coloured, console, literal, print_json, table

app = typer.Typer(help="Tell other systems about changes in the model registry.", no_args_is_help=True)
EXIT_NOT_DELIVERED = 3


@app.command()
def add(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Where to, https://...; the operator's allow-list must have it.")],
    event: Annotated[
        list[str] | None, typer.Option("--event", "-e", help="Only this, for example model.alias_moved; repeat it.")
    ] = None,
    description: Annotated[str, typer.Option("--description", "-d", help="For people.")] = "",
    request_id: Annotated[str, typer.Option(help="Makes it safe to run this command twice.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add a webhook. Its secret is shown once."""
    hook = {"url": url, "events": event or [], "description": description}
    answer = api_of(context).post("/webhooks", hook, requestId=request_id)
    if as_json:
        print_json(answer)
        return
    console.print(literal(f"{answer['webhook']['webhookId']}  (the secret, shown only now, checks the signatures)"))
    print(answer["secret"])


@app.command("list")
def list_webhooks(context: typer.Context, as_json: AsJson = False) -> None:
    """List your webhooks, newest first."""
    found = api_of(context).every("/webhooks", "webhooks")
    if as_json:
        print_json(found)
        return
    rows = [
        [each["webhookId"], each["url"], ", ".join(each.get("events", [])) or "all", age(each.get("createTime", ""))]
        for each in found
    ]
    console.print(table(["WEBHOOK", "URL", "EVENTS", "AGE"], rows))


@app.command()
def delete(context: typer.Context, webhook_id: str) -> None:
    """Remove a webhook, and what waits for it."""
    api_of(context).delete(_path(webhook_id))
    console.print(literal(f"{webhook_id} is removed."))


@app.command()
def deliveries(
    context: typer.Context,
    webhook_id: str,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """What was sent to a webhook and what it answered, newest first."""
    found = api_of(context).get(f"{_path(webhook_id)}/deliveries", pageSize=limit).get("deliveries", [])
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each["deliveryId"],
            each["event"],
            coloured(each["state"]),
            str(each.get("attempts", 0)),
            str(each.get("lastStatus") or ""),
            age(each.get("createTime", "")),
            literal(each.get("lastError", "")),
        ]
        for each in found
    ]
    console.print(table(["DELIVERY", "EVENT", "STATE", "TRIES", "HTTP", "AGE", "ERROR"], rows))


@app.command("test")
def try_out(context: typer.Context, webhook_id: str, as_json: AsJson = False) -> None:
    """Send a test event now. Exit status 3 when it was not delivered."""
    delivery = api_of(context).post(f"{_path(webhook_id)}:test")["delivery"]
    if as_json:
        print_json(delivery)
    elif delivery["state"] == "DELIVERED":
        console.print(literal(f"The receiver answered {delivery['lastStatus']}."))
    else:
        console.print(literal(f"Not delivered: {delivery.get('lastError', '')}"), soft_wrap=True)
    if delivery["state"] != "DELIVERED":
        raise typer.Exit(EXIT_NOT_DELIVERED)


def _path(webhook_id: str) -> str:
    return f"/webhooks/{quote(webhook_id, safe='')}"
