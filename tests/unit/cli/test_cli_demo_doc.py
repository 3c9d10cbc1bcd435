"""The part of `automesh demo` that publishes the project's own docs and searches them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from automesh.cli import demo_doc
from automesh.cli.api import Api
from automesh.cli.demo_doc import DOCS, show_documentation
from automesh.cli.errors import CliError
from automesh.cli.target import Target
from automesh.doc.v1 import (
    job_pb2,
    job_service_pb2,
    search_service_pb2,
    site_pb2,
    site_service_pb2,
    space_service_pb2,
    transfer_service_pb2,
    validation_service_pb2,
)
from automesh.local.state import LocalState
from tests.unit.cli.conftest import ScriptedGateway, Terminal


class Readers(BaseHTTPRequestHandler):
    """A published site of one page."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def readers() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Readers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/automesh/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def api(automesh: Terminal) -> Iterator[Api]:
    made = Api(Target(automesh.url, None, "am_test", LocalState(automesh.folder / "state")))
    yield made
    made.close()


def service(gateway: ScriptedGateway, address: str, *, found: bool = True) -> None:
    """A doc service where all goes well, whose index takes a moment."""
    done = job_pb2.Job(job_id="job_1", state=job_pb2.JOB_STATE_DONE, tally=job_pb2.Tally(created=3))
    gateway.on("GetSpace", space_service_pb2.GetSpaceResponse())
    gateway.on("ImportArchive", transfer_service_pb2.ImportArchiveResponse(job=done))
    gateway.on("GetJob", job_service_pb2.GetJobResponse(job=done))
    gateway.on("ListFindings", validation_service_pb2.ListFindingsResponse())
    gateway.on("GetSite", site_service_pb2.GetSiteResponse(site=site_pb2.Site(space="automesh", etag="s1")))
    gateway.on("UpdateSite", site_service_pb2.UpdateSiteResponse())
    release = site_pb2.Release(release_id="rel_1", state=site_pb2.RELEASE_STATE_CURRENT, url=address, pages=7)
    gateway.on("PublishSite", site_service_pb2.PublishSiteResponse(release=release))
    gateway.on("WatchRelease", [site_service_pb2.WatchReleaseResponse(release=release, fraction=1)])
    gateway.on("GetRelease", site_service_pb2.GetReleaseResponse(release=release))
    behind = iter([1, 2, 3])
    gateway.on(
        "GetIndexStatus",
        lambda _: search_service_pb2.GetIndexStatusResponse(sequence=next(behind), latest_sequence=3),
    )
    result = search_service_pb2.SearchResult(title="Architecture", section="Leases", snippet="when an agent dies")
    gateway.on("SearchDocuments", search_service_pb2.SearchDocumentsResponse(results=[result] if found else []))


def test_the_docs_are_imported_checked_published_read_and_searched(
    api: Api, gateway: ScriptedGateway, readers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service(gateway, readers)
    waits: list[float] = []
    show_documentation(api, pause=waits.append)
    with tarfile.open(fileobj=io.BytesIO(gateway.bodies[0])) as archive:
        assert "explanation/architecture.md" in archive.getnames()
    assert gateway.requests("UpdateSite")[0].site.public
    assert gateway.requests("UpdateSite")[0].site.etag == "s1"
    assert [each.query for each in gateway.requests("SearchDocuments")] == list(demo_doc.QUERIES)
    assert len(waits) == 2, "until the index has come as far as the import"
    said = capsys.readouterr().out
    for part in ("3 created", "7 pages", "Architecture / Leases", readers):
        assert part in said


def test_a_site_that_nobody_can_read_ends_the_demo(
    api: Api, gateway: ScriptedGateway, readers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service(gateway, readers)
    monkeypatch.setattr(Readers, "status", 404)
    with pytest.raises(CliError, match="answers 404"):
        show_documentation(api)


def test_a_search_that_finds_nothing_ends_the_demo(api: Api, gateway: ScriptedGateway, readers: str) -> None:
    service(gateway, readers, found=False)
    with pytest.raises(CliError, match="no search found anything"):
        show_documentation(api, pause=lambda _: None)


def test_an_import_that_fails_says_why(api: Api, gateway: ScriptedGateway, readers: str) -> None:
    service(gateway, readers)
    failed = job_pb2.Job(job_id="job_1", state=job_pb2.JOB_STATE_FAILED, failure="the disk is full")
    gateway.on("ImportArchive", transfer_service_pb2.ImportArchiveResponse(job=failed))
    with pytest.raises(CliError, match="the disk is full"):
        show_documentation(api)


def test_an_installation_without_docs_passes_over_them(
    api: Api, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DOCS.is_dir()
    monkeypatch.setattr(demo_doc, "DOCS", DOCS / "nowhere")
    show_documentation(api)
    assert gateway.seen == []
