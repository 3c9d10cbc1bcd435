"""What people may do with comments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from automesh.core.errors import PermissionDenied, ValidationError
from services.doc.domain.comments.anchoring import Place, Shift
from services.doc.domain.comments.comment import MAX_COMMENTS, Anchor, Comment, NewComment, Span, check_text, mentions
from services.doc.domain.comments.errors import CommentRemoved, NotYours, comment_not_found
from services.doc.domain.comments.ports import CommentStore, Draft, Moved
from services.doc.domain.documents.document import Head
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.documents.reader import DocumentReader
from services.doc.domain.errors import DocumentNotFound, RevisionNotFound, SpaceNotFound
from services.doc.domain.notifications.notice import Notice, NoticeKind
from services.doc.domain.reviews.errors import review_not_found
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole


class Discussion:
    """Comments on documents and reviews. Whoever may read may speak."""

    def __init__(
        self,
        store: CommentStore,
        documents: DocumentStore,
        reader: DocumentReader,
        directory: SpaceDirectory,
        *,
        make_id: Callable[[str], str],
    ) -> None:
        self._store, self._documents, self._reader, self._directory = store, documents, reader, directory
        self._make_id = make_id

    async def create(self, person: Person, new: NewComment) -> Comment:
        """Raises DocumentNotFound, ReviewNotFound, CommentNotFound for the thread, TooManyComments."""
        thread = await self._thread(person, new)
        if thread is not None:
            new = replace(
                new, document_id=thread.document_id, review_id=thread.review_id, branch=thread.branch, span=None
            )
        space, about, to = await self._place(person, new)
        draft = Draft(
            comment_id=self._make_id("comment"),
            tenant_id=person.tenant_id,
            space=space,
            document_id=new.document_id,
            review_id=new.review_id,
            thread_id=thread.comment_id if thread is not None else "",
            branch=new.branch if new.document_id else "",
            span=new.span,
            quote=await self._quote(person, new),
            text=new.text,
            author=person.user,
            mentions=mentions(new.text),
        )
        if thread is not None:
            to = [*to, *await self._store.thread(person.tenant_id, thread.comment_id)]
        return await self._store.add(draft, _notices(draft, about, to), most=MAX_COMMENTS)

    async def list(
        self, person: Person, *, document_id: str, review_id: str, branch: str, resolved: bool
    ) -> Sequence[Comment]:
        """Threads in the order of the text, answers in the order of time."""
        if not (document_id or review_id):
            raise ValidationError("say of which document, or of which review", field="document_id")
        if review_id:
            await self._review_space(person, review_id)
        head = await self._reader.head(person, document_id, branch) if document_id else None
        found = await self._store.all(
            person.tenant_id, document_id=document_id, review_id=review_id, branch=branch, resolved=resolved
        )
        if head is not None:
            found = await self._moved(head, found)
        return _ordered(found)

    async def update(self, person: Person, comment_id: str, text: str) -> Comment:
        """One's own; who is mentioned anew is told. Raises NotYours, CommentRemoved."""
        check_text(text)
        comment = await self._found(person, comment_id)
        if comment.author != person.user:
            raise NotYours(f"only {comment.author} may change this comment", commentId=comment_id)
        if not comment.text:
            raise CommentRemoved("this comment was removed: say it anew", commentId=comment_id)
        named = mentions(text)
        fresh = [each for each in named if each not in comment.mentions]
        about = f"{person.user} has mentioned you in a comment"
        notices = [_mention(comment, person.user, about, fresh)] if fresh else []
        return await self._store.change(comment, text, named, notices)

    async def resolve(self, person: Person, comment_id: str, *, reopen: bool) -> Comment:
        """A thread. Raises ValidationError for an answer."""
        comment = await self._found(person, comment_id)
        if comment.thread_id:
            raise ValidationError(
                f"this is an answer: name the comment that began the thread, {comment.thread_id}", field="comment_id"
            )
        user = "" if reopen else person.user
        return await self._store.resolve(person.tenant_id, comment_id, user)

    async def delete(self, person: Person, comment_id: str) -> None:
        """One's own; owners of the space remove any. Raises NotYours."""
        comment = await self._found(person, comment_id)
        if comment.author != person.user:
            try:
                await self._directory.find(person, comment.space, MemberRole.OWNER)
            except PermissionDenied as error:
                raise NotYours(
                    f"only {comment.author} and owners of the space may remove this comment", commentId=comment_id
                ) from error
        if comment.text:
            await self._store.change(comment, "", (), ())

    async def _thread(self, person: Person, new: NewComment) -> Comment | None:
        if not new.thread_id:
            return None
        thread = await self._found(person, new.thread_id)
        if thread.thread_id:
            thread = await self._found(person, thread.thread_id)
        for asked, own, field in (
            (new.document_id, thread.document_id, "document_id"),
            (new.review_id, thread.review_id, "review_id"),
        ):
            if asked and asked != own:
                raise ValidationError("the thread is about something else", field=field)
        return thread

    async def _place(self, person: Person, new: NewComment) -> tuple[str, str, Sequence[str]]:
        """The space, what it is about in a few words, and who is told besides followers."""
        space, about, to = "", "", [""]
        if new.review_id:
            review = await self._store.review(person.tenant_id, new.review_id)
            space, about, to = (
                await self._review_space(person, new.review_id),
                f"the review {review.title!r}",
                [review.author],
            )
        if new.document_id:
            head = await self._reader.head(person, new.document_id, new.branch)
            if space not in {"", head.space}:
                raise ValidationError("the document is none of the review's space", field="document_id")
            space, about = head.space, f"{head.title!r}"
        return space, about, [each for each in to if each]

    async def _review_space(self, person: Person, review_id: str) -> str:
        place = await self._store.review(person.tenant_id, review_id)
        try:
            await self._directory.find(person, place.space)
        except SpaceNotFound as error:
            raise review_not_found(review_id) from error
        return place.space

    async def _found(self, person: Person, comment_id: str) -> Comment:
        """Of a place that the person finds."""
        comment = await self._store.get(person.tenant_id, comment_id)
        try:
            await self._directory.find(person, comment.space)
        except SpaceNotFound as error:
            raise comment_not_found(comment_id) from error
        return comment

    async def _quote(self, person: Person, new: NewComment) -> str:
        if new.span is None:
            return ""
        try:
            revision = await self._documents.revision(person.tenant_id, new.document_id, new.span.revision_id)
        except (RevisionNotFound, DocumentNotFound) as error:
            raise ValidationError(
                f"the document has no revision {new.span.revision_id[:80]!r}: send the head that you have read",
                field="anchor.revision_id",
            ) from error
        content = await self._documents.content(person.tenant_id, revision.sha256)
        if new.span.end > len(content):
            raise ValidationError(
                f"the text has {len(content)} characters; the anchor ends at {new.span.end}", field="anchor.end"
            )
        return content[new.span.start : new.span.end]

    async def _moved(self, head: Head, comments: Sequence[Comment]) -> Sequence[Comment]:
        """Where their texts are in the head; worked out once for each revision."""
        behind = [each for each in comments if each.anchor is not None and each.anchor.revision_id != head.revision_id]
        if not behind:
            return comments
        # What is lost is looked for again from where it was said: it may have come back.
        sources = {each.comment_id: _source(each) for each in behind}
        ids = list(dict.fromkeys(span.revision_id for span in sources.values()))
        revisions = await self._documents.revisions(head.tenant_id, ids)
        hashes = {each.revision_id: each.sha256 for each in revisions}
        bodies = await self._documents.contents(head.tenant_id, [*hashes.values(), head.sha256])
        places = await asyncio.to_thread(_places, behind, sources, {
            revision_id: bodies[sha256] for revision_id, sha256 in hashes.items()
        }, bodies[head.sha256])  # fmt: skip
        moved = [
            Moved(comment_id, head.revision_id, place.start, place.end, place.lost)
            for comment_id, place in places.items()
        ]
        await self._store.move(head.tenant_id, moved)
        return [_at(each, head.revision_id, places.get(each.comment_id)) for each in comments]


def _source(comment: Comment) -> Span:
    anchor, span = comment.anchor, comment.span
    assert anchor is not None and span is not None  # noqa: S101, PT018 - they go together
    return span if anchor.lost or anchor.start >= anchor.end else Span(anchor.revision_id, anchor.start, anchor.end)


def _places(
    comments: Sequence[Comment], sources: dict[str, Span], texts: dict[str, str], head: str
) -> dict[str, Place]:
    shifts: dict[str, Shift] = {}
    places: dict[str, Place] = {}
    for comment in comments:
        span = sources[comment.comment_id]
        if span.revision_id not in texts or comment.anchor is None:
            continue
        shift = shifts.get(span.revision_id)
        if shift is None:
            shift = shifts[span.revision_id] = Shift(texts[span.revision_id], head)
        places[comment.comment_id] = shift.of(span.start, span.end, comment.anchor.quote)
    return places


def _at(comment: Comment, revision_id: str, place: Place | None) -> Comment:
    if place is None or comment.anchor is None:
        return comment
    anchor = Anchor(
        revision_id=revision_id, start=place.start, end=place.end, quote=comment.anchor.quote, lost=place.lost
    )
    return replace(comment, anchor=anchor)


def _ordered(comments: Sequence[Comment]) -> Sequence[Comment]:
    """Threads by where they are, those about the whole document first; each followed by its answers."""
    answers: dict[str, list[Comment]] = {}
    for each in comments:
        if each.thread_id:
            answers.setdefault(each.thread_id, []).append(each)
    threads = sorted(
        (each for each in comments if not each.thread_id),
        key=lambda each: (each.document_id, each.anchor.start if each.anchor else -1, each.created_at, each.comment_id),
    )
    return [said for thread in threads for said in (thread, *answers.get(thread.comment_id, ()))]


def _notices(draft: Draft, about: str, to: Sequence[str]) -> Sequence[Notice]:
    """Whoever is mentioned is told that, and not once more that there is a comment."""
    verb = "has answered on" if draft.thread_id else "has commented on"
    said = Notice(
        tenant_id=draft.tenant_id,
        kind=NoticeKind.COMMENT,
        space=draft.space,
        actor=draft.author,
        text=f"{draft.author} {verb} {about}",
        document_id=draft.document_id,
        review_id=draft.review_id,
        comment_id=draft.comment_id,
        to=list(dict.fromkeys(to)),
        followers=bool(draft.document_id),
        without=draft.mentions,
    )
    if not draft.mentions:
        return [said]
    return [said, _mention(draft, draft.author, f"{draft.author} has mentioned you on {about}", draft.mentions)]


def _mention(comment: Comment | Draft, actor: str, text: str, to: Sequence[str]) -> Notice:
    return Notice(
        tenant_id=comment.tenant_id,
        kind=NoticeKind.MENTION,
        space=comment.space,
        actor=actor,
        text=text,
        document_id=comment.document_id,
        review_id=comment.review_id,
        comment_id=comment.comment_id,
        to=to,
    )
