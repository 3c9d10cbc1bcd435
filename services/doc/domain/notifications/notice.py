"""Something that happened and that somebody may want to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import orjson

MAX_TEXT = 1000


class NoticeKind(StrEnum):
    """Of notifications; webhooks are sent all but MENTION."""

    MENTION = "mention"
    COMMENT = "comment"
    REVIEW_REQUESTED = "review_requested"
    REVIEW_JUDGED = "review_judged"
    REVIEW_MERGED = "review_merged"
    DOCUMENT_CHANGED = "document_changed"
    PUBLISHED = "published"
    PUBLISH_FAILED = "publish_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Told to the people `to`, and to all who follow the document or the space where `followers` says so.

    Never to who did it, to `without`, or to somebody who does not find the space.
    """

    tenant_id: str
    kind: NoticeKind
    space: str
    actor: str
    text: str
    """In a sentence, without what was said: it is not sealed."""
    document_id: str = ""
    review_id: str = ""
    comment_id: str = ""
    to: Sequence[str] = ()
    followers: bool = False
    without: Sequence[str] = ()
    data: Mapping[str, object] = field(default_factory=dict)
    """What webhooks are told beside space, document_id, review_id, comment_id and actor."""

    def body(self, now: datetime) -> bytes:
        """Of a delivery to a webhook, as Standard Webhooks has it."""
        about = {"space": self.space, "actor": self.actor, "text": self.text}
        ids = {"document_id": self.document_id, "review_id": self.review_id, "comment_id": self.comment_id}
        data = {**about, **{name: value for name, value in ids.items() if value}, **self.data}
        return orjson.dumps({"type": self.kind.value, "timestamp": now.isoformat(), "data": data})


class NoticeBoard(Protocol):
    """Where parts of the service tell what happened."""

    async def post(self, notices: Sequence[Notice]) -> None:
        """Feeds and deliveries of all of them in one transaction. May raise Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A line in somebody's feed."""

    sequence: int
    kind: str
    space: str
    document_id: str
    review_id: str
    comment_id: str
    actor: str
    text: str
    times: int
    """So often since the person looked."""
    time: datetime
    seen: bool
