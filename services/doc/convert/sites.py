"""Messages of SiteService and the domain."""

from __future__ import annotations

from datetime import datetime

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import site_pb2
from automesh.doc.v1 import site_service_pb2 as pb
from automesh.mesh.times import timestamp
from services.doc.convert import cursors
from services.doc.domain.publishing.addresses import SiteAddresses
from services.doc.domain.publishing.site import KEEP, Release, Site, SiteChoices, SiteSwitch


def choices(message: site_pb2.Site) -> SiteChoices:
    """What somebody decides; what only the service sets is ignored. Raises ValidationError."""
    return SiteChoices(
        title=message.title,
        theme=message.theme or "auto",
        accent=message.accent.lower(),
        auto_publish=message.auto_publish,
        keep=message.keep or KEEP,
        public=message.public,
    )


def site(found: Site, addresses: SiteAddresses) -> site_pb2.Site:
    """The message of a site."""
    return site_pb2.Site(
        space=found.space,
        url=addresses.site(found.tenant_id, found.space),
        title=found.choices.title,
        theme=found.choices.theme,
        accent=found.choices.accent,
        auto_publish=found.choices.auto_publish,
        paused=found.paused,
        keep=found.choices.keep,
        current=found.current,
        public=found.choices.public,
        update_time=timestamp(found.updated_at) if found.updated_at else None,
        etag=found.etag,
    )


def release(found: Release, addresses: SiteAddresses) -> site_pb2.Release:
    """The message of a release; the current one is seen where the site is."""
    current = found.state == "CURRENT"
    return site_pb2.Release(
        release_id=found.release_id,
        space=found.space,
        branch=found.branch,
        preview=found.preview,
        state=site_pb2.ReleaseState.Value(f"RELEASE_STATE_{found.state.name}"),
        digest=found.digest,
        url=addresses.site(found.tenant_id, found.space) if current else addresses.release(found.release_id),
        pages=found.pages,
        files=found.files,
        size=found.size,
        created_by=found.created_by,
        message=found.message,
        create_time=timestamp(found.created_at),
        publish_time=timestamp(found.published_at) if found.published_at else None,
        failure=found.failure,
        checks=found.checks,
    )


def watched(found: Release, addresses: SiteAddresses) -> pb.WatchReleaseResponse:
    """One message of a stream."""
    fraction = 1.0 if found.over else found.fraction
    return pb.WatchReleaseResponse(release=release(found, addresses), fraction=fraction, step=found.step)


def switch(found: SiteSwitch) -> site_pb2.Switch:
    """The message of a switch."""
    return site_pb2.Switch(
        release_id=found.release_id,
        previous=found.previous,
        actor=found.actor,
        reason=found.reason,
        time=timestamp(found.switched_at),
        rollback=found.rollback,
    )


def wait_s(request: pb.PublishSiteRequest) -> float:
    """0 without one. Raises ValidationError."""
    if not request.HasField("wait"):
        return 0.0
    seconds = request.wait.seconds + request.wait.nanos / 1e9
    if seconds < 0:
        raise ValidationError("wait must not be negative", field="wait")
    return seconds


def releases_page(request: pb.ListReleasesRequest) -> tuple[int, tuple[datetime, str] | None]:
    """How many, and before which one."""
    filters = ["releases", request.space, request.branch]
    return paging.page_size(request.page_size), cursors.before(request.page_token, filters=filters)


def releases_token(request: pb.ListReleasesRequest, last: Release) -> str:
    """Continues after `last`."""
    filters = ["releases", request.space, request.branch]
    return cursors.before_token(last.created_at, last.release_id, filters=filters)


def switches_page(request: pb.ListSwitchesRequest) -> tuple[int, int | None]:
    """How many, and before which one."""
    after = cursors.count(request.page_token, filters=["switches", request.space])
    return paging.page_size(request.page_size), after[0] if after else None


def switches_token(request: pb.ListSwitchesRequest, last: SiteSwitch) -> str:
    """Continues after `last`."""
    return cursors.count_token(last.number, filters=["switches", request.space])
