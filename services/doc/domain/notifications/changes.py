"""What followers and webhooks are told of changes of documents: in bundles, so that an import is not a flood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from services.doc.domain.changes.change import ChangeNote
from services.doc.domain.notifications.notice import Notice, NoticeKind

MANY = 10
"""Documents of a space that somebody changed in one look: followers of the space are told of them in one line."""
IN_ONE = 100
"""Changes in one delivery."""
WORDS = {"CREATE": "created", "RENAME": "moved", "DELETE": "deleted", "RESTORE": "restored", "MERGE": "merged"}


class Gathered:
    """Changes of documents, taken together."""

    def __init__(self, notes: Sequence[ChangeNote]) -> None:
        self._notes = [note for note in notes if note.document_id and note.revision_id]
        self._revisions: Mapping[str, Mapping[str, Any]] = {}

    @property
    def revision_ids(self) -> Sequence[str]:
        """What has to be known of them."""
        return [note.revision_id for note in self._notes]

    def take(self, revisions: Mapping[str, Mapping[str, Any]]) -> None:
        """Author, co_authors, change, title and path by revision; those that are gone by now are left out."""
        self._revisions = revisions
        self._notes = [note for note in self._notes if note.revision_id in revisions]

    def began(self) -> Iterator[tuple[ChangeNote, str]]:
        """Documents that began, and who follows them from then on: whoever made them."""
        for note in self._notes:
            if self._of(note)["change"] == "CREATE":
                yield note, self._of(note)["author"]

    def changed(self) -> Iterator[tuple[Notice, int, datetime]]:
        """What followers are told, for how many changes it stands, and when the last of them was."""
        for (tenant_id, space, author), documents in self._by_author().items():
            if len(documents) > MANY:
                yield (
                    Notice(
                        tenant_id=tenant_id,
                        kind=NoticeKind.DOCUMENT_CHANGED,
                        space=space,
                        actor=author,
                        text=f"{author} has changed {len(documents)} documents of {space}",
                    ),
                    1,
                    max(note.time for notes in documents.values() for note in notes),
                )
                continue
            for document_id, notes in documents.items():
                last = self._of(notes[-1])
                verb = WORDS.get(last["change"], "changed") if len(notes) == 1 else "changed"
                yield (
                    Notice(
                        tenant_id=tenant_id,
                        kind=NoticeKind.DOCUMENT_CHANGED,
                        space=space,
                        actor=author,
                        text=f"{author} has {verb} {last['title']!r}",
                        document_id=document_id,
                        without=[name for note in notes for name in self._of(note)["co_authors"]],
                    ),
                    len(notes),
                    notes[-1].time,
                )

    def deliveries(self) -> Iterator[Notice]:
        """What webhooks are told: all changes, in their order."""
        bundle: list[ChangeNote] = []
        for note in self._notes:
            if bundle and (
                (note.tenant_id, note.space) != (bundle[0].tenant_id, bundle[0].space) or len(bundle) == IN_ONE
            ):
                yield self._bundled(bundle)
                bundle = []
            bundle.append(note)
        if bundle:
            yield self._bundled(bundle)

    def _bundled(self, notes: Sequence[ChangeNote]) -> Notice:
        actors = list(dict.fromkeys(self._of(note)["author"] for note in notes))
        count = len({note.document_id for note in notes})
        return Notice(
            tenant_id=notes[0].tenant_id,
            kind=NoticeKind.DOCUMENT_CHANGED,
            space=notes[0].space,
            actor=actors[0] if len(actors) == 1 else "",
            text=f"{count} documents of {notes[0].space} have changed" if count > 1 else "a document has changed",
            document_id=notes[0].document_id if count == 1 else "",
            data={"changes": [self._told(note) for note in notes]},
        )

    def _told(self, note: ChangeNote) -> Mapping[str, object]:
        revision = self._of(note)
        return {
            "document_id": note.document_id,
            "revision_id": note.revision_id,
            "change": str(revision["change"]).lower(),
            "path": revision["path"],
            "title": revision["title"],
            "author": revision["author"],
            "time": note.time.isoformat(),
        }

    def _by_author(self) -> Mapping[tuple[str, str, str], dict[str, list[ChangeNote]]]:
        found: dict[tuple[str, str, str], dict[str, list[ChangeNote]]] = {}
        for note in self._notes:
            key = (note.tenant_id, note.space, self._of(note)["author"])
            found.setdefault(key, {}).setdefault(note.document_id, []).append(note)
        return found

    def _of(self, note: ChangeNote) -> Mapping[str, Any]:
        return self._revisions[note.revision_id]


class ChangeTeller(Protocol):
    """Makes feeds and deliveries of changes, each exactly once. Every method may raise Unavailable."""

    async def reached(self) -> int:
        """The last sequence that was told of."""
        ...

    async def tell(self, reached: int, upto: int, gather: Gathered) -> bool:
        """Tells, and has come to `upto`, in one transaction; False when somebody else was faster."""
        ...
