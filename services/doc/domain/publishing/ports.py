"""What publishing needs from outside. Every method may raise Unavailable while what stands behind it is away."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.doc.domain.publishing.site import NewRelease, Release, ReleaseFile, Site, SiteChoices, SiteSwitch


class SiteStore(Protocol):
    """Sites, releases, switches. Anything of another tenant is not there."""

    async def site(self, tenant_id: str, space: str) -> Site:
        """One that nobody has touched yet is as by default."""
        ...

    async def choose(self, tenant_id: str, space: str, choices: SiteChoices, edition: int) -> Site:
        """Raises SiteChanged when it is at another edition."""
        ...

    async def add(self, release: NewRelease) -> Release:
        """In the state BUILDING. The same request_id returns what it made before.

        Raises SpaceNotFound, TooManyBuilds, RequestReused.
        """
        ...

    async def release(self, tenant_id: str, space: str, release_id: str) -> Release:
        """Raises ReleaseNotFound."""
        ...

    async def releases(
        self, tenant_id: str, space: str, branch: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Release]:
        """A page, the newest first; of all branches when none is named."""
        ...

    async def switches(self, tenant_id: str, space: str, *, limit: int, before: int | None) -> Sequence[SiteSwitch]:
        """A page, the latest first."""
        ...

    async def roll_back(self, tenant_id: str, space: str, release_id: str, *, actor: str, reason: str) -> Release:
        """Switches to a release that is ready, and pauses auto-publish.

        When none is named, to the one before the current, without those that readers were led back from themselves.
        Raises ReleaseNotFound, ReleaseNotReady, NothingToRollBack.
        """
        ...

    async def take_down(self, tenant_id: str, space: str, *, actor: str, reason: str) -> Site:
        """Readers see nothing from now on; auto-publish pauses."""
        ...

    async def resume(self, tenant_id: str, space: str) -> Site:
        """Auto-publish is paused no more; what has changed meanwhile is published."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build has come, 0 to 1."""

    step: str
    fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What the builder made."""

    digest: str
    pages: int
    files: Sequence[ReleaseFile]
    checks: Sequence[str] = ()
    failure: str = ""
    """Why readers must not see it; empty: they may."""


class ReleaseQueue(Protocol):
    """Releases that are to be built: one builder at a time has each, for as long as its lease holds."""

    async def claim(self, lease_s: float) -> Release | None:
        """The oldest that nobody builds; of one site one at a time, in order."""
        ...

    async def renew(self, release: Release, progress: Progress, lease_s: float) -> None:
        """Raises ReleaseLost."""
        ...

    async def let_go(self, release: Release) -> None:
        """Somebody else may build it at once."""
        ...

    async def fail(self, release: Release, why: str, checks: Sequence[str] = ()) -> None:
        """Raises ReleaseLost."""
        ...

    async def finish(self, release: Release, built: Built) -> bool:
        """Keeps the files and, unless it is a preview, switches readers to it, in one step. Whether it did.

        It does not when readers were switched back, or the site was taken down, after this release was asked for.
        Raises ReleaseLost.
        """
        ...

    async def clean_up(self) -> int:
        """Forgets releases beyond those that are kept (a bounded number at once); how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSource:
    """What a site is built of: one moment of a branch. `texts` are hash and size of each page's content."""

    title: str
    description: str
    theme: str
    accent: str
    pages: Sequence[dict[str, object]] = field(default_factory=tuple)
    texts: Sequence[tuple[str, int]] = ()
    moved: Sequence[dict[str, str]] = ()


class SiteSources(Protocol):
    """Where sites come from."""

    async def read(self, tenant_id: str, space: str, branch: str) -> SiteSource:
        """Raises BranchNotFound."""
        ...


Read = Callable[[ReleaseFile], AsyncIterator[bytes]]
"""The bytes of a file of a release."""


class SiteContents(Protocol):
    """The bytes of published files, by their hash, sealed."""

    async def keep(self, tenant_id: str, files: Sequence[ReleaseFile], read: Read) -> None:
        """Those that are not there yet are read and kept."""
        ...

    async def sweep(self) -> int:
        """Forgets what no release refers to any more (a bounded number at once); how many."""
        ...


class SiteBuilder(Protocol):
    """The program that builds."""

    def build(
        self,
        job: dict[str, object],
        texts: AsyncIterable[Sequence[str]],
        tell: Callable[[Progress], Awaitable[None]],
    ) -> AbstractAsyncContextManager[tuple[Built, Read]]:
        """What was made, and how to read it until the block is left. `texts` come in lots. Raises BuildFailed."""
        ...


class AutoPublishing(Protocol):
    """Which sites shall be published again because their documents have changed."""

    async def follow(self) -> int:
        """Marks the sites of what has changed since the last time; how many changes."""
        ...

    async def ask(self, *, quiet_s: float, longest_s: float) -> int:
        """Asks for a release of every marked site of which nothing has changed for a while; how many."""
        ...


class PageViews(Protocol):
    """Hears which published pages were sent to whom."""

    def seen(self, tenant_id: str, space: str, path: str, visitor: str, *, robot: bool) -> None:
        """`path` is the document's; `visitor` tells readers apart for a day. Takes no time, never fails."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """A release as a listener serves it."""

    tenant_id: str
    space: str
    release_id: str
    public: bool


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a small file. `gzip`: they are compressed. None of a large one: it is read in chunks."""

    content: bytes | None
    gzip: bool
    blob: str = ""


class PublishedSites(Protocol):
    """What listeners read."""

    async def current(self, tenant_id: str, space: str) -> Served | None:
        """What readers of a space see."""
        ...

    async def preview(self, release_id: str) -> Served | None:
        """A release by itself, previews and others, that can be shown."""
        ...

    async def public_sites(self, limit: int) -> Sequence[tuple[str, str]]:
        """Tenants and spaces of those that anybody may read."""
        ...

    async def file(self, served: Served, path: str) -> ReleaseFile | None:
        """A file of a release by its path."""
        ...

    async def body(self, tenant_id: str, sha256: str) -> Body:
        """Its bytes. Raises Unavailable when they are not there."""
        ...

    def chunks(self, body: Body) -> AsyncIterator[bytes]:
        """Of a large file."""
        ...
