"""The ASGI application: a request, the site or release that it is for, the file, the answer."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import quote

import structlog

from automesh.core.errors import AutomationError, Kind
from services.doc.domain.documents.path import SUFFIX
from services.doc.domain.publishing.addresses import KEY, PREVIEW, Place, SiteAddresses
from services.doc.domain.publishing.errors import BadLink
from services.doc.domain.publishing.links import LinkKeys, release_scope, site_scope
from services.doc.domain.publishing.ports import PageViews, Served
from services.doc.domain.publishing.site import ReleaseFile
from services.doc.web.answers import ASK_AGAIN, NEVER, Answer, file_headers, moved, plain_page
from services.doc.web.asking import COOKIE, Asking
from services.doc.web.metrics import REQUESTS, SECONDS
from services.doc.web.shelf import Shelf

log = structlog.get_logger(__name__)

NOT_FOUND, INDEX, ROOT_MARK = "~404.html", "index.html", b"/~root~/"
"""Names of the builder's; the mark stands for the top of the site in the page for what is not there."""
MAX_SITEMAPS = 1000
_HASHED = re.compile(r"~[a-z]+/[a-z]+\.[0-9a-f]{12}\.[a-z]+")


class SiteListener:
    """Serves sites and previews. Only GET and HEAD; no cookie but the one that a link leaves behind."""

    def __init__(
        self, shelf: Shelf, addresses: SiteAddresses, keys: LinkKeys, views: PageViews, *, trust_forwarded: bool = False
    ) -> None:
        self._shelf, self._addresses, self._keys, self._views = shelf, addresses, keys, views
        self._trust_forwarded = trust_forwarded

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        asking = Asking.of(scope, trust_forwarded=self._trust_forwarded)
        try:
            with SECONDS.time():
                answer = await self._answer(asking)
        except AutomationError as error:
            answer = _failed(error)
        except Exception:
            log.exception("unforeseen error", path=scope["raw_path"][:200])
            answer = plain_page(500, "Something went wrong", "It is our fault, and it is written down.")
        REQUESTS.labels(str(answer.status)).inc()
        try:
            await answer.send(receive, send, head=asking.method == "HEAD", secure=self._addresses.secure)
        except (AutomationError, TimeoutError) as error:
            log.warning("an answer broke off", path=scope["raw_path"][:200], error=str(error) or type(error).__name__)
            raise  # the connection breaks: the reader shall not take a part for the whole

    async def _answer(self, asking: Asking) -> Answer:
        if asking.method not in {"GET", "HEAD"}:
            return plain_page(405, "Only for reading", "Sites take GET and HEAD.", [("allow", "GET, HEAD")])
        if asking.path is None:
            return _nothing()
        place = self._addresses.place(asking.host, asking.path)
        if place is None:
            return await self._outside(asking)
        served = await self._served(place)
        if served is None or not served.public:
            refused = self._admit(asking, place)
            if refused is not None:
                return refused
        return await self._serve(asking, place, served) if served else _nothing()

    async def _outside(self, asking: Asking) -> Answer:
        """What belongs to no site."""
        path = asking.path or ""
        if path == "/robots.txt":
            sites = await self._shelf.public_sites(MAX_SITEMAPS)
            lines = [f"Sitemap: {self._addresses.site(*site)}sitemap.xml" for site in sites]
            body = "\n".join(["User-agent: *", f"Disallow: /{PREVIEW}/", *lines, ""])
            kind = ("content-type", "text/plain; charset=utf-8")
            return Answer(200, [kind, ("cache-control", ASK_AGAIN)], body.encode())
        if self._addresses.place(asking.host, f"{path}/") is not None and not path.endswith("/"):
            return moved(_with_query(quote(f"{path}/"), asking), 308)
        return _nothing()

    async def _served(self, place: Place) -> Served | None:
        if place.release_id:
            return await self._shelf.release(place.release_id)
        return await self._shelf.current(place.tenant_id, place.space)

    def _admit(self, asking: Asking, place: Place) -> Answer | None:
        """None: come in. A link leaves a cookie for this site alone, and its key goes out of the address.

        What is not there is refused in the same words: strangers do not learn which spaces there are.
        """
        scope = release_scope(place.release_id) if place.release_id else site_scope(place.tenant_id, place.space)
        try:
            ends = self._keys.check(asking.key or asking.cookie, scope)
        except BadLink as error:
            return plain_page(403, "This link does not open it", error.message) if asking.key else _nothing()
        if not asking.key:
            return None
        answer = moved(quote(place.base + place.path), 303, kept=NEVER)
        secure = "; Secure" if self._addresses.secure else ""
        expires = ends.strftime("%a, %d %b %Y %H:%M:%S GMT")
        cookie = f"{COOKIE}={asking.key}; Path={place.base}; Expires={expires}; HttpOnly; SameSite=Lax{secure}"
        answer.headers.append(("set-cookie", cookie))
        return answer

    async def _serve(self, asking: Asking, place: Place, served: Served) -> Answer:
        path = place.path
        file = await self._shelf.file(served, path + INDEX if not path or path.endswith("/") else path)
        if file is not None and path.rpartition("/")[2] == INDEX and not file.attachment:
            return moved(_with_query(quote(place.base + path.removesuffix(INDEX)), asking))
        if file is None:
            return await self._elsewhere(asking, place, served)
        if file.location:
            return moved(quote(place.base + file.location.removesuffix(INDEX)))
        answer = await self._file(asking, served, file)
        if file.document and asking.counted and not place.release_id:
            self._views.seen(served.tenant_id, served.space, file.document, asking.visitor, robot=asking.robot)
        return answer

    async def _elsewhere(self, asking: Asking, place: Place, served: Served) -> Answer:
        """Addresses that people make up from what they know, then the site's own page for what is not there."""
        path = place.path
        stem = path[: -len(SUFFIX)] if path.lower().endswith(SUFFIX) else path
        if stem and not stem.endswith("/"):
            for guess, shown in ((f"{stem}.html", f"{stem}.html"), (f"{stem}/{INDEX}", f"{stem}/")):
                if await self._shelf.file(served, guess) is not None:
                    return moved(_with_query(quote(place.base + shown), asking), 302)
        page = await self._shelf.file(served, NOT_FOUND)
        if page is None:
            return _nothing()
        body = await self._shelf.body(served, page)
        content = gzip.decompress(body.content or b"") if body.gzip else body.content or b""
        headers = file_headers(page, private=not served.public, hashed=False)
        return Answer(404, headers, content.replace(ROOT_MARK, quote(place.base).encode()))

    async def _file(self, asking: Asking, served: Served, file: ReleaseFile) -> Answer:
        hashed = not file.attachment and _HASHED.fullmatch(file.path) is not None
        headers = file_headers(file, private=not served.public, hashed=hashed)
        etag = file.sha256[:32]
        if asking.has(etag):
            return Answer(304, [*headers, ("etag", f'"{etag}"'), ("vary", "accept-encoding")])
        body = await self._shelf.body(served, file)
        if body.content is None:
            headers.append(("etag", f'"{etag}"'))
            chunks = None if asking.method == "HEAD" else await _begun(self._shelf.chunks(body))
            return Answer(200, headers, chunks=chunks, length=file.size)
        headers.append(("vary", "accept-encoding"))
        if body.gzip and asking.takes_gzip:
            headers += [("content-encoding", "gzip"), ("etag", f'"{etag}-gzip"')]
            return Answer(200, headers, body.content)
        content = gzip.decompress(body.content) if body.gzip else body.content
        return Answer(200, [*headers, ("etag", f'"{etag}"')], content)


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The same with its first chunk at hand: that a file is lost is found before its answer begins."""
    first = await anext(chunks, b"")

    async def whole() -> AsyncGenerator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return whole()


def _nothing() -> Answer:
    return plain_page(
        404,
        "Nothing to be seen here",
        "No site is published at this address, or it is not for everybody: whoever may read its space can make a link "
        "that opens it for a while.",
    )


def _failed(error: AutomationError) -> Answer:
    if error.kind is Kind.UNAVAILABLE:
        return plain_page(
            503, "Away for a moment", "The site cannot be read just now: try again.", [("retry-after", "2")]
        )
    log.error("a page could not be served", reason=error.reason, error=error.message)
    return plain_page(500, "Something went wrong", "It is our fault, and it is written down.")


def _with_query(location: str, asking: Asking) -> str:
    """A key that came with the address stays with it."""
    return f"{location}?{KEY}={asking.key}" if asking.key else location
