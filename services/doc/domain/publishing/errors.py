"""What can go wrong with sites."""

from __future__ import annotations

from automesh.core.errors import Exhausted, NotFound, Unauthenticated
from services.doc.domain.errors import DocError, Stale


class SiteChanged(Stale):
    """The site is not what its etag says any more."""

    reason = "SITE_CHANGED"


class ReleaseNotFound(NotFound):
    """The space has no such release, or it is not kept any more."""

    reason = "RELEASE_NOT_FOUND"


class NothingToRollBack(DocError):
    """There is no earlier release to go back to."""

    reason = "NOTHING_TO_ROLL_BACK"


class ReleaseNotReady(DocError):
    """The release is being built, has failed, or is a preview: readers cannot be switched to it."""

    reason = "RELEASE_NOT_READY"


class TooManyBuilds(Exhausted):
    """The tenant has as many releases waiting as it may."""

    reason = "TOO_MANY_BUILDS"


class ReleaseLost(DocError):
    """Somebody else builds the release now, or it is gone."""

    reason = "RELEASE_LOST"


class BuildFailed(DocError):
    """The program that builds sites did not make one."""

    reason = "BUILD_FAILED"


class BadLink(Unauthenticated):
    """The link is over, or was never one of ours."""

    reason = "BAD_PREVIEW_LINK"


def release_not_found(release_id: str) -> ReleaseNotFound:
    """With what to do."""
    return ReleaseNotFound(
        f"there is no release {release_id!r} of this space: list its releases to find one", releaseId=release_id
    )
