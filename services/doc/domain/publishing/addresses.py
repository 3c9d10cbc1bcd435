"""Where sites are seen: paths of one listener, and a host for each release where an operator has set that up."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_TENANT = "default"
"""Its sites need no tenant in their addresses."""
PREVIEW, TENANT, KEY = "~preview", "~t", "~key"
"""Parts of paths that no space can be called, and the query parameter of a link's key."""
RELEASE = "{release}"
_SPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RELEASE_ID = re.compile(r"[a-z0-9_]{1,80}")
_TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Place:
    """What an address means: the site of a space or a release, and the path in it. `base` ends with a slash."""

    base: str
    path: str
    tenant_id: str = ""
    space: str = ""
    release_id: str = ""


class SiteAddresses:
    """`url` is the listener as readers reach it; `preview_url` has "{release}" in its host, or is empty."""

    def __init__(self, url: str, preview_url: str = "") -> None:
        self._url = url.rstrip("/")
        self._preview_url = preview_url.rstrip("/")
        host = re.sub(r"^[a-z]+://", "", self._preview_url).partition("/")[0].partition(":")[0].lower()
        before, found, after = host.partition(RELEASE)
        self._host = re.compile(re.escape(before) + r"([a-z0-9-]{1,80})" + re.escape(after)) if found else None

    @property
    def secure(self) -> bool:
        """Readers come over HTTPS."""
        return self._url.startswith("https:")

    def site(self, tenant_id: str, space: str) -> str:
        """Of the site of a space."""
        return f"{self._url}{site_base(tenant_id, space)}"

    def release(self, release_id: str) -> str:
        """Of one release by itself."""
        if self._preview_url:
            return f"{self._preview_url.replace(RELEASE, release_id.replace('_', '-'))}/"
        return f"{self._url}/{PREVIEW}/{release_id}/"

    def place(self, host: str, path: str) -> Place | None:
        """What a request asks for; None: nothing that could be there. `path` is decoded, and begins with a slash."""
        if self._host and (found := self._host.fullmatch(host.partition(":")[0].lower())):
            # host names have no underscore; the one of an id stands after its kind
            return Place("/", path[1:], release_id=found[1].replace("-", "_", 1))
        first, slash, rest = path[1:].partition("/")
        if first == PREVIEW:
            release_id, slash, rest = rest.partition("/")
            known = slash and _RELEASE_ID.fullmatch(release_id)
            return Place(f"/{PREVIEW}/{release_id}/", rest, release_id=release_id) if known else None
        tenant_id, space = DEFAULT_TENANT, first
        if first == TENANT:
            tenant_id, slash, rest = rest.partition("/")
            space, slash, rest = rest.partition("/")
        if not slash or not _SPACE.fullmatch(space) or not _TENANT_ID.fullmatch(tenant_id):
            return None
        return Place(site_base(tenant_id, space), rest, tenant_id=tenant_id, space=space)


def site_base(tenant_id: str, space: str) -> str:
    """The path at which the site of a space begins."""
    return f"/{space}/" if tenant_id == DEFAULT_TENANT else f"/{TENANT}/{tenant_id}/{space}/"
