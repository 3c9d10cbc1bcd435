"""A doc service that serves sites, and readers who come to its listener over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from automesh.doc.v1 import site_pb2
from automesh.doc.v1 import site_service_pb2 as pb
from automesh.doc.v1 import site_service_pb2_grpc as rpc
from automesh.local.ports import free_port
from automesh.testing.postgres import PostgresForTests
from automesh.web.server import Listen
from services.doc.domain.publishing.ports import Built
from services.doc.domain.publishing.site import NewRelease, ReleaseFile
from services.doc.engine.core import Core
from services.doc.store.site_contents import SqlSiteContents
from services.doc.store.site_queue import SqlReleaseQueue
from services.doc.store.sites import SqlSiteStore
from tests.integration.doc.doc_house import Served, doc_service

LEASE_S = 60.0
BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


@dataclass
class Published:
    """The service, and a reader without cookies."""

    doc: Served
    url: str

    async def sites(self, user: str = "ann", *permissions: str) -> rpc.SiteServiceAsyncStub:
        return rpc.SiteServiceStub(await self.doc.channel(user, *permissions))

    async def publish(self, *, user: str = "ann", **request: Any) -> site_pb2.Release:
        """A release that is built, of the space "handbook" unless told otherwise."""
        request.setdefault("space", "handbook")
        asked = pb.PublishSiteRequest(**request)
        asked.wait.FromSeconds(30)
        return (await (await self.sites(user)).PublishSite(asked)).release

    async def choose(self, *, space: str = "handbook", user: str = "root", **choices: Any) -> site_pb2.Site:
        """Changes what is said, and leaves the rest."""
        stub = await self.sites(user, "doc.read", "doc.write", "doc.publish", "doc.admin")
        site = (await stub.GetSite(pb.GetSiteRequest(space=space))).site
        for name, value in choices.items():
            setattr(site, name, value)
        return (await stub.UpdateSite(pb.UpdateSiteRequest(site=site))).site

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """As a browser asks that knows nothing yet; redirects are not followed."""
        async with httpx.AsyncClient(base_url=self.url) as client:
            return await client.get(
                path, headers={**BROWSER, **{name.replace("_", "-"): headers[name] for name in headers}}
            )


@asynccontextmanager
async def publishing(postgres: PostgresForTests, tmp_path: Path, **options: Any) -> AsyncIterator[Published]:
    """With the public space "handbook" and two pages in it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    wanted = {"site_listen": Listen("127.0.0.1", port, http2=False), "site_url": url, **options}
    async with doc_service(postgres, tmp_path, options=wanted) as doc:
        await doc.space(title="Handbook")
        await doc.write("index.md", "# Handbook\n\nBegin with [the start](guides/start.md#first-steps).\n")
        await doc.write("guides/start.md", "---\ntags: [intro]\n---\n# Start\n\n## First steps\n\nUnpack the zebra.\n")
        published = Published(doc, url)
        await published.choose(public=True)
        yield published


class Stores:
    """Of one core, and releases without a builder."""

    def __init__(self, core: Core) -> None:
        outside = core.outside
        self.sites, self.queue = SqlSiteStore(outside.database), SqlReleaseQueue(outside.database)
        self.contents = SqlSiteContents(outside.database, outside.sealer, outside.blobs, core.options.make_id)
        self.database = outside.database

    async def asked(self, release_id: str, **more: object) -> None:
        told = {"tenant_id": "default", "space": "guides", "branch": "main", "created_by": "anna", **more}
        await self.sites.add(NewRelease(release_id=release_id, **told))  # type: ignore[arg-type]  # fields, built from a dict

    async def finished(self, content: bytes = b"x") -> bool:
        """The next release is built, of one file; whether readers were switched to it."""
        release = await self.queue.claim(LEASE_S)
        assert release is not None
        built = await self.kept(content)
        return await self.queue.finish(release, built)

    async def kept(self, content: bytes) -> Built:
        file = ReleaseFile(
            path="index.html", sha256=hashlib.sha256(content).hexdigest(), size=len(content), content_type="text/html"
        )

        async def read(_: ReleaseFile) -> AsyncIterator[bytes]:
            yield content

        await self.contents.keep("default", [file], read)
        return Built(digest="d", pages=1, files=[file])

    async def current(self) -> str:
        return (await self.sites.site("default", "guides")).current
