"""Drafts, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from automesh.core import paging
from automesh.doc.v1 import draft_service_pb2 as pb
from automesh.mesh import times
from services.doc.convert import cursors
from services.doc.domain.drafts.draft import Draft, NewDraft
from services.doc.domain.spaces.space import MAIN

_FILTERS = ["drafts"]


def new_draft(request: pb.SaveDraftRequest) -> NewDraft:
    """Raises ValidationError."""
    return NewDraft(
        draft_id=request.draft_id,
        space=request.space,
        branch=request.branch or MAIN,
        path=request.path,
        content=request.content,
        base=request.base,
        version=request.version,
    )


def draft(found: Draft, *, content: bool = True) -> pb.Draft:
    """The message of a draft."""
    return pb.Draft(
        draft_id=found.draft_id,
        space=found.space,
        branch=found.branch,
        path=found.path,
        content=found.content if content else "",
        base=found.base,
        update_time=times.timestamp(found.updated_at),
        version=found.version,
        behind=found.behind,
    )


def before(request: pb.ListDraftsRequest) -> tuple[datetime, str] | None:
    """Where the page before ended."""
    return cursors.before(request.page_token, filters=_FILTERS)


def page(found: Sequence[Draft], request: pb.ListDraftsRequest) -> pb.ListDraftsResponse:
    """A page of what was found, one more than fits if there are more."""
    size, token = paging.page_size(request.page_size), ""
    if len(found) > size:
        last = found[size - 1]
        token = cursors.before_token(last.updated_at, last.draft_id, filters=_FILTERS)
    return pb.ListDraftsResponse(drafts=[draft(each, content=False) for each in found[:size]], next_page_token=token)
