"""The task type `documentation` from its lease to the pages that the doc service is sent, with the real program."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from automesh.core.errors import AutomationError, Kind, PermissionDenied, Unavailable
from automesh.doc.v1 import job_pb2
from automesh.doc.v1 import transfer_service_pb2 as pb
from automesh.doc.v1 import transfer_service_pb2_grpc as rpc
from automesh.mesh.errors import abort
from automesh.sdk import Agent
from automesh.sdk.documentation import Documentation
from automesh.testing.agents import at_work
from automesh.testing.orchestrator import FakeConnection, FakeOrchestrator
from services.agent.clients.generator.module_search import find_module
from services.agent.clients.program.program import Programs
from services.agent.clients.work_dir import opened
from services.agent.handlers.documentation import TYPE, DocumentationWriting
from services.doc.domain.documents.path import target_of
from services.doc.domain.markdown.outline import outline


class LeaseLost(AutomationError):
    """As the doc service says it."""

    kind = Kind.ABORTED
    reason = "LEASE_LOST"


@dataclass
class DocHouse(rpc.TransferServiceServicer):
    """Keeps what it is sent; fails as often as it is told."""

    files: dict[str, bytes] = field(default_factory=dict)
    tokens: list[bytes] = field(default_factory=list)
    failures: list[AutomationError] = field(default_factory=list)
    state: Any = job_pb2.JOB_STATE_DONE

    async def StoreDocumentation(
        self, request_iterator: AsyncIterator[pb.StoreDocumentationRequest], context: Any
    ) -> pb.StoreDocumentationResponse:
        self.tokens.append((await anext(request_iterator)).header.lease_token)
        if self.failures:
            await abort(context, self.failures.pop(0))
        path = ""
        async for request in request_iterator:
            if request.WhichOneof("part") == "path":
                path = request.path
                self.files[path] = b""
            else:
                self.files[path] += request.chunk
        tally = job_pb2.Tally(created=len(self.files))
        job = job_pb2.Job(job_id="job_1", state=self.state, tally=tally, failure="the space is full")
        return pb.StoreDocumentationResponse(job=job)

    async def ImportArchive(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError

    async def ExportArchive(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def DownloadExport(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


@dataclass
class Office:
    """An agent at work, and what it writes."""

    orchestrator: FakeOrchestrator
    house: DocHouse
    folder: Path

    async def done(self, **given: Any) -> Any:
        return await self.orchestrator.done(self.orchestrator.lease(TYPE, given))

    def pages(self) -> dict[str, str]:
        return {path: content.decode() for path, content in self.house.files.items()}


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    house, server = DocHouse(), grpc.aio.server()
    rpc.add_TransferServiceServicer_to_server(house, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    roots = (folder / "sources",)

    def find(request: Any) -> Path:
        return find_module(request.package, path=request.path, source_roots=roots, installed=(Path("/"),)).file

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, FakeOrchestrator(limit_s=60) as fake:
        with opened(folder / "work", "inst_1") as work_dir:
            agent = Agent(name="agent")
            documentation = Documentation(FakeConnection(channel))
            writing = DocumentationWriting(documentation, find, Programs(dict(os.environ)), work_dir, silence_s=60)
            agent.task(TYPE)(writing.run)
            async with at_work(agent, fake):
                yield Office(fake, house, folder)
    await server.stop(None)


@pytest.fixture
async def at_office(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as running:
        yield running


def package(folder: Path, **modules: str) -> Path:
    """A package `shop` below the source root; `sub__mod` is the module sub.mod."""
    top = folder / "sources" / "shop"
    for name, text in modules.items():
        file = top.joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text)
    return folder / "sources"


async def test_a_library_that_nobody_here_wrote_is_documented_and_every_link_leads_somewhere(at_office: Office) -> None:
    done = await at_office.done(space="handbook", prefix="reference/packaging", package="packaging")
    result = MessageToDict(done.result)
    assert result["tally"]["created"] == len(at_office.house.files) == result["pages"]
    assert (result["space"], result["prefix"], result["package"]) == ("handbook", "reference/packaging", "packaging")
    pages = at_office.pages()
    assert "### `Version`" in pages["version.md"]
    assert "Version(version: str)" in pages["version.md"]
    outlines = {path: outline(text) for path, text in pages.items()}
    links = 0
    for path, made in outlines.items():
        for link in made.links:
            target = target_of(link.target, path)
            if target is None:
                continue
            links += 1
            assert target[0] in pages, f"{path}:{link.line} leads to {link.target}"
            assert not target[1] or target[1] in outlines[target[0]].anchors, f"{path}:{link.line}: {link.target}"
    assert links > 200


async def test_the_pages_say_what_the_source_says(at_office: Office) -> None:
    root = package(
        at_office.folder,
        cart='''"""Carts. They hold things."""
from shop._hidden import Item

class Cart:
    """A cart.

    Args:
        size (int): How much fits in; see :class:`~shop.errors.Full`.

    Returns:
        nothing | at all
    """
    def __init__(self, size: int = 3) -> None: ...
    async def add(self, item: "Item", *, times: int = 1) -> None:
        """Puts `Cart.size` in. <script>alert(1)</script>"""
''',
        errors='class Full(Exception):\n    """No room."""\n',
        _hidden='class Item:\n    """A thing."""\n',
    )
    done = await at_office.done(space="handbook", package="shop", path=str(root))
    pages = at_office.pages()
    assert MessageToDict(done.result)["modules"] == 2
    assert sorted(pages) == ["cart.md", "errors.md", "index.md"]
    cart = pages["cart.md"]
    assert "`size` (`int`): How much fits in; see [`Full`](errors.md#full)." in cart
    assert "async def add(item: 'Item', *, times: int = 1) -> None" in cart
    assert "&lt;script>alert(1)&lt;/script>" in cart
    assert "[`shop.cart`](cart.md) | Carts. |" in pages["index.md"]


async def test_a_file_that_is_no_python_is_left_out_and_told(at_office: Office) -> None:
    root = package(at_office.folder, good='"""Good."""\n', bad="def (:\n", deep="x = " + "(" * 5000 + ")" * 5000)
    done = await at_office.done(space="handbook", package="shop", path=str(root))
    assert [each["module"] for each in MessageToDict(done.result)["skipped"]] == ["shop.bad", "shop.deep"]
    assert "good.md" in at_office.pages()


async def test_nothing_of_the_package_is_run(at_office: Office) -> None:
    mark = at_office.folder / "was-run"
    root = package(at_office.folder, evil=f'"""Evil."""\nopen({str(mark)!r}, "w").close()\n')
    await at_office.done(space="handbook", package="shop", path=str(root))
    assert "evil.md" in at_office.pages()
    assert not mark.exists()


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        ({"package": "packaging"}, "VALIDATION", "space is missing"),
        ({"space": "handbook"}, "VALIDATION", "no name of a package"),
        ({"space": "handbook", "package": "../etc"}, "VALIDATION", "no name of a package"),
        ({"space": "handbook", "package": "packaging", "colour": "red"}, "VALIDATION", "knows no input 'colour'"),
        ({"space": "handbook", "package": "packaging", "private": "yes"}, "VALIDATION", "true or false"),
        ({"space": "handbook", "package": "no_such_package"}, "MODULE_NOT_FOUND", "there is no module no_such_package"),
        ({"space": "handbook", "package": "packaging", "path": "/etc"}, "VALIDATION", "no source root"),
    ],
)
async def test_what_cannot_be_done_fails_for_good(
    at_office: Office, given: dict[str, Any], reason: str, words: str
) -> None:
    done = await at_office.done(**given)
    assert (done.failure.reason, done.failure.retryable) == (reason, False)
    assert words in done.failure.message
    assert at_office.house.tokens == []


async def test_a_package_with_nothing_to_tell_fails_for_good(at_office: Office) -> None:
    root = package(at_office.folder, _private="def _f(): ...\n")
    done = await at_office.done(space="handbook", package="shop", path=str(root))
    assert (done.failure.reason, done.failure.retryable) == ("NOTHING_TO_DOCUMENT", False)


async def test_a_doc_service_that_is_away_for_a_moment_is_tried_again(at_office: Office) -> None:
    at_office.house.failures = [Unavailable("restarting"), Unavailable("restarting")]
    done = await at_office.done(space="handbook", package="packaging.version")
    assert done.WhichOneof("outcome") == "result", done
    assert len(at_office.house.tokens) == 3
    assert "index.md" in at_office.pages()


@pytest.mark.parametrize(
    ("error", "retryable"),
    [(PermissionDenied("you are no writer there"), False), (LeaseLost("the lease is over"), True)],
)
async def test_a_space_that_does_not_take_it_says_why(
    at_office: Office, error: AutomationError, retryable: bool
) -> None:
    at_office.house.failures = [error]
    done = await at_office.done(space="handbook", package="packaging.version")
    assert (done.failure.reason, done.failure.retryable) == (error.reason, retryable)


async def test_a_job_that_failed_fails_the_task_with_its_reason(at_office: Office) -> None:
    at_office.house.state = job_pb2.JOB_STATE_FAILED
    done = await at_office.done(space="handbook", package="packaging.version")
    assert (done.failure.reason, done.failure.retryable) == ("DOCUMENTATION_NOT_STORED", False)
    assert "the space is full" in done.failure.message


async def test_nothing_is_left_of_an_attempt(at_office: Office) -> None:
    await at_office.done(space="handbook", package="packaging.version")
    assert list((at_office.folder / "work").glob("*/attempt-*")) == []
    assert json.dumps(sorted(at_office.pages())) == '["index.md"]'
