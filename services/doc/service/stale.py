"""A write that came too late is answered with both writes brought together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from automesh.mesh.caller import current_caller
from services.doc.convert import documents as convert
from services.doc.domain.documents.merging import StaleWrite

MESH_BYTES, DEFAULT_BYTES = 40_000, 3_000
"""A status travels in trailers. Channels of the mesh take 64 KiB of them, others by default 8 KiB, in base64."""


@contextmanager
def telling_merge() -> Iterator[None]:
    """Adds the detail automesh.doc.v1.StaleWrite; without the text where that would not arrive."""
    try:
        yield
    except StaleWrite as error:
        most = MESH_BYTES if current_caller().service else DEFAULT_BYTES
        error.details = (convert.stale_write(error, most),)
        raise
