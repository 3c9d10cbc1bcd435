"""The use cases around sites: publish, go back, take down, preview."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime

from automesh.core.errors import ValidationError
from services.doc.domain.branches.ports import BranchStore
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.jobs.errors import TooManyWatchers
from services.doc.domain.publishing.addresses import KEY, SiteAddresses
from services.doc.domain.publishing.errors import ReleaseNotReady, SiteChanged
from services.doc.domain.publishing.links import LinkKeys, release_scope, site_scope
from services.doc.domain.publishing.ports import SiteStore
from services.doc.domain.publishing.site import (
    NewRelease,
    Release,
    ReleaseState,
    Site,
    SiteChoices,
    SiteSwitch,
    check_reason,
    edition_of,
)
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MAIN, MemberRole

MAX_WAIT_S = 60.0
MAX_WATCHERS = 500
LOOK_EVERY_S = 0.5
"""How a build goes on is looked at so often, and at every ring of the bell."""


class SitePublisher:
    """Sites of spaces. Writers of a space publish it; what is built, a loop builds."""

    def __init__(
        self,
        sites: SiteStore,
        branches: BranchStore,
        directory: SpaceDirectory,
        *,
        doorbell: Doorbell,
        addresses: SiteAddresses,
        keys: LinkKeys,
        make_id: Callable[[str], str],
    ) -> None:
        self._sites, self._branches, self._directory, self._doorbell = sites, branches, directory, doorbell
        self.addresses, self._keys, self._make_id = addresses, keys, make_id
        self._watchers = 0

    async def publish(
        self,
        person: Person,
        space: str,
        branch: str = MAIN,
        *,
        preview: bool = False,
        message: str = "",
        request_id: str = "",
        wait_s: float = 0.0,
    ) -> Release:
        """A release of the branch; once it is built and checked, readers are switched to it, unless it is a preview."""
        await self._directory.find(person, space, MemberRole.WRITER)
        await self._branches.get(person.tenant_id, space, branch)
        asked = NewRelease(
            release_id=self._make_id("rel"),
            tenant_id=person.tenant_id,
            space=space,
            branch=branch,
            preview=preview,
            created_by=person.user,
            message=message.strip(),
            request_id=request_id,
        )
        release = await self._sites.add(asked)
        self._doorbell.ring()
        if wait_s > 0:
            return await self._wait(release, min(wait_s, MAX_WAIT_S))
        return release

    async def roll_back(self, person: Person, space: str, release_id: str, reason: str) -> tuple[Release, Site]:
        """Readers see an earlier release from now on, and merges publish no more until that is resumed."""
        await self._directory.find(person, space, MemberRole.WRITER)
        why = check_reason(reason)
        release = await self._sites.roll_back(person.tenant_id, space, release_id, actor=person.user, reason=why)
        self._doorbell.ring()
        return release, await self._sites.site(person.tenant_id, space)

    async def resume(self, person: Person, space: str) -> Site:
        """Merges publish again."""
        await self._directory.find(person, space, MemberRole.WRITER)
        site = await self._sites.resume(person.tenant_id, space)
        self._doorbell.ring()
        return site

    async def take_down(self, person: Person, space: str, reason: str) -> Site:
        """Readers see nothing any more."""
        await self._directory.find(person, space, MemberRole.WRITER)
        why = check_reason(reason)
        site = await self._sites.take_down(person.tenant_id, space, actor=person.user, reason=why)
        self._doorbell.ring()
        return site

    async def site(self, person: Person, space: str) -> Site:
        """For whoever finds the space."""
        await self._directory.find(person, space)
        return await self._sites.site(person.tenant_id, space)

    async def choose(self, person: Person, space: str, choices: SiteChoices, etag: str) -> Site:
        """As a writer; whether everybody may read it is an owner's to decide. Raises SiteChanged."""
        await self._directory.find(person, space, MemberRole.WRITER)
        if choices.public != (await self._sites.site(person.tenant_id, space)).choices.public:
            await self._directory.find(person, space, MemberRole.OWNER)
        if not etag:
            raise ValidationError("send the etag of the site that you have read", field="site.etag")
        edition = edition_of(etag)
        if edition is None:
            raise SiteChanged(f"the site of {space} has changed since you read it: read it again", space=space)
        chosen = await self._sites.choose(person.tenant_id, space, choices, edition)
        self._doorbell.ring()
        return chosen

    async def release(self, person: Person, space: str, release_id: str) -> Release:
        """For whoever finds the space."""
        await self._directory.find(person, space)
        return await self._sites.release(person.tenant_id, space, release_id)

    async def releases(
        self, person: Person, space: str, branch: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Release]:
        """A page, the newest first."""
        await self._directory.find(person, space)
        return await self._sites.releases(person.tenant_id, space, branch, limit=limit, before=before)

    async def switches(self, person: Person, space: str, *, limit: int, before: int | None) -> Sequence[SiteSwitch]:
        """A page, the latest first."""
        await self._directory.find(person, space)
        return await self._sites.switches(person.tenant_id, space, limit=limit, before=before)

    async def watch(self, person: Person, space: str, release_id: str) -> AsyncGenerator[Release]:
        """How it stands, then every change, until it is over. Raises ReleaseNotFound, TooManyWatchers."""
        release = await self.release(person, space, release_id)
        if self._watchers >= MAX_WATCHERS:
            raise TooManyWatchers(f"this replica serves {MAX_WATCHERS} watch streams already: poll with GetRelease")
        self._watchers += 1
        try:
            yield release
            while not release.over:
                rung = self._doorbell.rung
                seen, release = release, await self._sites.release(person.tenant_id, space, release_id)
                if release != seen:
                    yield release
                else:
                    await self._doorbell.wait(rung, LOOK_EVERY_S)
        finally:
            self._watchers -= 1

    async def link(self, person: Person, space: str, release_id: str) -> str:
        """An address that opens what is not for everybody, until its time is up."""
        await self._directory.find(person, space)
        if not release_id:
            site = await self._sites.site(person.tenant_id, space)
            if not site.current:
                raise ReleaseNotReady(f"the site of {space} is not published", space=space)
            address = self.addresses.site(person.tenant_id, space)
            return f"{address}?{KEY}={self._keys.make(site_scope(person.tenant_id, space))}"
        release = await self._sites.release(person.tenant_id, space, release_id)
        if release.state not in {ReleaseState.READY, ReleaseState.CURRENT}:
            raise ReleaseNotReady(
                f"the release {release_id} is {release.state.lower()}: there is nothing to be seen",
                releaseId=release_id,
            )
        return f"{self.addresses.release(release_id)}?{KEY}={self._keys.make(release_scope(release_id))}"

    @property
    def link_ttl_s(self) -> float:
        """How long a link opens."""
        return self._keys.ttl.total_seconds()

    async def _wait(self, release: Release, wait_s: float) -> Release:
        """How it stands at the end, or when the time is up."""
        deadline = time.monotonic() + wait_s
        while not release.over and (left := deadline - time.monotonic()) > 0:
            rung = self._doorbell.rung
            release = await self._sites.release(release.tenant_id, release.space, release.release_id)
            if not release.over:
                await self._doorbell.wait(rung, min(LOOK_EVERY_S, left))
        return release
