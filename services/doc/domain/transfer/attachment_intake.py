"""The files of an import that are no documents: stored, left as they are, or refused; never merged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from automesh.core.errors import AutomationError, Unavailable
from services.doc.domain.attachments.attachment import Attachment
from services.doc.domain.attachments.shelf import MAX_CHUNK, AttachmentShelf
from services.doc.domain.documents.path import key
from services.doc.domain.jobs.job import Job, Tally
from services.doc.domain.jobs.report import Report
from services.doc.domain.transfer.arrival import Arrival
from services.doc.domain.transfer.asked import ImportAsked
from services.doc.domain.transfer.ports import Source

_PAGE = 1000


class AttachmentIntake:
    """`bases`: by key of the path, what the last import brought. `keep` remembers it, with how far the job is."""

    def __init__(
        self,
        shelf: AttachmentShelf,
        *,
        job: Job,
        asked: ImportAsked,
        report: Report,
        source: Source,
        bases: Mapping[str, str],
        keep: Callable[[dict[str, str]], Awaitable[None]],
    ) -> None:
        self._shelf, self._job, self._asked, self._report = shelf, job, asked, report
        self._source, self._bases, self._keep = source, bases, keep

    async def take(self, arrivals: Sequence[tuple[Arrival, str]], *, whole: bool) -> None:
        """Each with its path, from where the attempt before has come to. `whole`: what is not among them may go."""
        deleting = self._asked.delete_missing and whole
        if not arrivals and not deleting:
            return
        here = await self._here()
        stored = int(self._report.place.get("stored", 0))
        for count, (arrival, path) in enumerate(arrivals, start=1):
            now = here.pop(key(path), None)
            if count > stored:
                brought = await self._one(arrival, path, now)
                self._report.done += 1
                self._report.place["stored"] = count
                await self._remember(path, arrival.sha256 if brought else self._bases.get(key(path), ""))
        for attachment in here.values() if deleting else ():
            await self._shelf.delete(self._job.person, self._job.space, self._asked.branch, attachment.path)
            self._report.count(Tally(deleted=1))
            await self._remember(attachment.path, "")

    async def _remember(self, path: str, brought: str) -> None:
        """Empty: nothing any more."""
        await self._keep({path: brought} if brought != self._bases.get(key(path), "") else {})

    async def _one(self, arrival: Arrival, path: str, now: Attachment | None) -> bool:
        """Whether what is there now is what the source brought."""
        origin = self._source.bases.get(arrival.path, "")
        base = origin or self._bases.get(key(path), "")
        if now is not None and arrival.sha256 in {now.sha256, base}:
            self._report.count(Tally(unchanged=1))
            return arrival.sha256 == now.sha256
        if now is not None and now.sha256 != base:
            self._report.refuse(arrival.path, _taken(now, changed=bool(origin)))
            return False
        return await self._store(arrival, path, now.sha256 if now else "")

    async def _store(self, arrival: Arrival, path: str, expected: str) -> bool:
        [body] = await self._source.contents([arrival])
        try:
            await self._shelf.keep(
                self._job.person, self._job.space, self._asked.branch, path, _chunks(body), expected_sha256=expected
            )
        except Unavailable:
            raise
        except AutomationError as error:
            self._report.refuse(arrival.path, error.message)
            return False
        self._report.count(Tally(updated=1) if expected else Tally(created=1))
        return True

    async def _here(self) -> dict[str, Attachment]:
        """By key of the path."""
        found: dict[str, Attachment] = {}
        after = ""
        while True:
            page = await self._shelf.list(
                self._job.person,
                self._job.space,
                self._asked.branch,
                prefix=self._asked.prefix,
                limit=_PAGE,
                after=after,
            )
            found |= {key(each.path): each for each in page}
            if len(page) < _PAGE:
                return found
            after = page[-1].path


def _taken(now: Attachment, *, changed: bool) -> str:
    if changed:
        return f"was changed here by {now.created_by} too: export it, decide for one of both, and import that"
    return (
        f"another file is at {now.path!r}, stored by {now.created_by} and not by an import: delete that one, or take "
        "this one out of the archive"
    )


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), MAX_CHUNK):
        yield body[start : start + MAX_CHUNK]
