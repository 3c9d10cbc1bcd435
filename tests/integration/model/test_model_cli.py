"""`automesh model ...` and `automesh webhook ...` through a real gateway to a real registry."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from automesh.cli.errors import CliError
from automesh.cli.main import cli
from automesh.local.ports import free_port
from automesh.testing.postgres import PostgresForTests
from gateway.app import http_gateway
from gateway.settings import Settings
from tests.integration.model.registry_house import PEOPLE, TENANT, RegistryHouse, registry_house

pytestmark = pytest.mark.postgres


class Terminal:
    """Types commands."""

    def __init__(self, house: RegistryHouse, url: str, folder: Path) -> None:
        self.house = house
        self._env = {
            "AUTOMESH_URL": url,
            "AUTOMESH_API_KEY": house.mesh.mint.mint(PEOPLE, subject="user_ann", tenant_id=TENANT),
            "AUTOMESH_STATE_DIR": str(folder),
        }

    async def run(self, *words: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(cli, words, env=self._env))

    async def says(self, *words: str) -> str:
        done = await self.run(*words)
        assert done.exit_code == 0, done.output + repr(done.exception)
        return done.output

    async def refuses(self, *words: str) -> CliError:
        done = await self.run(*words)
        assert isinstance(done.exception, CliError), done.output
        return done.exception


@pytest.fixture
async def terminal(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Terminal]:
    settings = Settings(gateway_port=free_port(), gateway_tls="off", drain_timeout_s=2)
    async with (
        postgres.fresh({"model": "services.model.migrations"}) as dsn,
        registry_house(dsn, tmp_path) as house,
    ):
        channel = await house.mesh.channel("gateway")
        async with http_gateway(settings, lambda _: channel, asyncio.Event()):
            yield Terminal(house, f"http://127.0.0.1:{settings.gateway_port}", tmp_path / "state")


async def test_models_are_listed_shown_compared_and_saved(terminal: Terminal, tmp_path: Path) -> None:
    assert "No models" in await terminal.says("model", "list")
    model_id = await terminal.house.trained(files={"model.onnx": b"onnx", "plots/loss.png": b"png"})
    await terminal.house.trained(
        model_id=model_id,
        metrics={"val/loss": 0.125},
        spec={"name": "prices", "optimization": {"epochs": 9}, "seed": "7"},
    )
    listed = await terminal.says("model", "list", "--name", "PRI")
    assert model_id in listed
    shown = await terminal.says("model", "show", "prices", "--version", "1")
    assert "val/loss" in shown
    assert "a wave" in shown
    assert "plots/loss.png" in shown
    assert json.loads(await terminal.says("model", "show", model_id, "--json"))["version"]["version"] == 2
    assert "0.125" in await terminal.says("model", "versions", "prices")
    compared = await terminal.says("model", "compare", "prices:1", "prices")
    assert "optimization.epochs" in compared
    assert "prices:2" in compared
    assert "not MODEL:VERSION" in (await terminal.refuses("model", "compare", "prices:x", "prices")).message
    await terminal.says("model", "export", "prices", "--version", "1", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / "plots" / "loss.png").read_bytes() == b"png"
    assert (await terminal.refuses("model", "show", "model_none")).next_step == "See your models: automesh model list"


async def test_an_alias_is_gated_moved_overridden_and_removed(terminal: Terminal) -> None:
    model_id = await terminal.house.trained()
    await terminal.says(
        "model", "set-gates", "prices", "--metric", "val/loss<=0.1", "--not-worse", "val/loss:5", "--max-bytes", "100"
    )
    checked = await terminal.run("model", "gates", "prices")
    assert checked.exit_code == 3
    assert "val/loss <= 0.1" in checked.output
    assert "failed" in checked.output
    assert "measured 0.25" in (await terminal.refuses("model", "promote", "prices", "1")).message
    assert "is version 1" in await terminal.says("model", "promote", "prices", "1", "--override", "by hand")
    assert "by hand" in await terminal.says("model", "moves", "prices")
    assert "aliases point" in (await terminal.refuses("model", "delete", "prices")).message
    await terminal.says("model", "demote", "prices")
    await terminal.says("model", "set-gates", "prices")
    assert "No gates" in await terminal.says("model", "gates", "prices")
    await terminal.says("model", "promote", "prices", "1", "--alias", "candidate")
    assert model_id in await terminal.says("model", "delete", "prices", "--force", "--reason", "replaced")
    for words in (("--metric", "val/loss=0.1"), ("--not-worse", "val/loss"), ("--metric", "val/loss<x")):
        await terminal.house.trained("other" + words[1].replace("/", ""))
        assert "other" not in (await terminal.refuses("model", "set-gates", "prices", *words)).message


async def test_a_webhook_is_added_tried_listed_and_removed(terminal: Terminal) -> None:
    made = json.loads(
        await terminal.says("webhook", "add", "https://hooks.example/x", "-e", "model.alias_moved", "--json")
    )
    webhook_id = made["webhook"]["webhookId"]
    assert made["secret"].startswith("whsec_")
    assert "model.alias_moved" in await terminal.says("webhook", "list")
    assert "answered 200" in await terminal.says("webhook", "test", webhook_id)
    assert "DELIVERED" in await terminal.says("webhook", "deliveries", webhook_id)
    assert "is removed" in await terminal.says("webhook", "delete", webhook_id)
    assert (await terminal.refuses("webhook", "test", webhook_id)).next_step.endswith("automesh webhook list")
