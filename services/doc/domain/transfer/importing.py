"""The work of an import: what a source brings comes to a branch, batch by batch, each with how far the job is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from automesh.core.errors import AutomationError
from services.doc.domain.attachments.shelf import AttachmentShelf
from services.doc.domain.branches.ports import BranchStore
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.documents.path import key
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.errors import DocumentNotFound, PathTaken, StaleHead
from services.doc.domain.jobs.job import MAX_PROBLEMS, Ending, Job, Problem, Tally
from services.doc.domain.jobs.report import Report
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole, Space
from services.doc.domain.transfer.admission import RulesOfSpace, check_open
from services.doc.domain.transfer.arrival import Step
from services.doc.domain.transfer.asked import ImportAsked
from services.doc.domain.transfer.attachment_intake import AttachmentIntake
from services.doc.domain.transfer.deciding import Action, Place
from services.doc.domain.transfer.making import Made, Maker, Said
from services.doc.domain.transfer.planning import BATCH, Plan, Planned, Planner, Standing, batches
from services.doc.domain.transfer.ports import Commit, ImportStore, Source, Sources
from services.doc.domain.validation.checks import Checks

TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportGround:
    """What every import stands on."""

    directory: SpaceDirectory
    branches: BranchStore
    documents: DocumentStore
    shelf: AttachmentShelf
    checks: Callable[[], Checks]
    store: ImportStore
    sources: Sources
    doorbell: Doorbell
    make_id: Callable[[str], str]
    max_page_bytes: int


class ImportWork:
    """A services.doc.domain.jobs.ports.Work."""

    def __init__(self, ground: ImportGround) -> None:
        self._ground = ground

    async def run(self, job: Job, report: Report) -> Ending:
        """The upload is kept until the job has ended, so that another process can go on."""
        await self._import(job, ImportAsked.of_json(job.asked), report)
        return Ending()

    async def _import(self, job: Job, asked: ImportAsked, report: Report) -> None:
        ground = self._ground
        space = await ground.directory.find(job.person, job.space, MemberRole.WRITER)
        check_open(space, asked.branch)
        await ground.branches.get(job.tenant_id, job.space, asked.branch)
        await report.begin("reading the archive")
        async with ground.sources.open(asked.blob, asked.root) as source:
            await report.begin("importing", total=source.total)
            await _Import(ground, job, asked, report=report, space=space, source=source).all()


class _Import:
    """One import, under way."""

    def __init__(
        self, ground: ImportGround, job: Job, asked: ImportAsked, *, report: Report, space: Space, source: Source
    ) -> None:
        self._ground, self._job, self._asked, self._report = ground, job, asked, report
        self._source, self._rules = source, RulesOfSpace(ground.checks(), space)
        self._where = (job.tenant_id, job.space, asked.branch)
        self._standing = Standing((), {})
        self._origins: Mapping[str, str] = {}
        self._maker = Maker(
            tenant_id=job.tenant_id,
            space=job.space,
            branch=asked.branch,
            user=job.created_by,
            message=asked.message,
            make_id=ground.make_id,
            max_bytes=ground.max_page_bytes,
        )
        self._conflicts = {at: Problem(*told) for at, told in report.place.get("conflicts", {}).items()}
        self._step = Step(arrivals=())
        self._begun = dict(report.place)

    async def all(self) -> None:
        """Every step, from where the attempt before has come to."""
        await self._look()
        after = await self._ground.store.last_commit(*self._where, self._asked.prefix, self._asked.root)
        async for step in self._source.steps(after):
            self._step = step
            await self._take(step)
        for problem in self._conflicts.values():
            self._report.refuse(problem.path, problem.message)

    async def _look(self) -> None:
        """How things stand here."""
        store, prefix = self._ground.store, self._asked.prefix
        self._standing = Standing(await store.standing(*self._where, prefix), await store.bases(*self._where, prefix))
        self._origins = await self._certain({key(f"{prefix}{path}"): base for path, base in self._source.bases.items()})

    async def _certain(self, origins: Mapping[str, str]) -> Mapping[str, str]:
        """Those that are texts of the very document: what was copied from elsewhere says nothing of what is here."""
        claimed = self._standing.claimed(origins)
        written = await self._ground.store.written(self._job.tenant_id, set(claimed.values())) if claimed else ()
        return {at: said[1] for at, said in claimed.items() if said in written}

    def _planner(self) -> Planner:
        return Planner(self._standing, self._origins, self._asked.prefix, delete_missing=self._asked.delete_missing)

    async def _take(self, step: Step) -> None:
        plan = await asyncio.to_thread(self._planner().plan, step)
        if not step.commit:
            await self._take_files(plan)
            return
        self._conflicts |= {problem.path: problem for problem in plan.problems}
        await self._delete(plan.missing)
        writing = [each for each in plan.documents if self._wanted(each, {})]
        parts = list(batches(writing)) or [[]]
        self._begun = dict(self._report.place)
        for batch in parts[:-1]:
            await self._write(batch, {})
        self._report.done += 1
        first = islice(self._conflicts.items(), MAX_PROBLEMS)
        self._report.place["conflicts"] = {at: [each.path, each.message] for at, each in first}
        await self._write(parts[-1], {}, commit=step.commit)

    async def _take_files(self, plan: Plan) -> None:
        """A whole archive, or the files beside the documents of a history."""
        if "arrived" not in self._report.place:
            for problem in plan.problems:
                self._report.refuse(problem.path, problem.message)
        arrived = int(self._report.place.setdefault("arrived", 0))
        self._report.done = max(self._report.done, len(plan.problems) + arrived)
        for batch in batches(plan.documents[arrived:]):
            self._begun = dict(self._report.place)
            self._report.place["arrived"] = arrived = arrived + len(batch)
            self._report.done += len(batch)
            left: dict[str, str] = {}
            await self._write([each for each in batch if self._wanted(each, left)], left, coming=plan.coming)
        intake = AttachmentIntake(
            self._ground.shelf,
            job=self._job,
            asked=self._asked,
            report=self._report,
            source=self._source,
            bases=self._standing.bases,
            keep=lambda brought: self._keep([], brought, ""),
        )
        await intake.take(plan.attachments, whole=self._step.present is not None)
        if self._asked.delete_missing:
            await self._delete(plan.missing)
        self._report.done = self._report.total

    def _wanted(self, planned: Planned, left: dict[str, str]) -> bool:
        """Whether it is to be written; what is not is counted and told of. `left`: what is here as it was brought."""
        arrival, action, note = planned.arrival, planned.decision.action, planned.decision.note
        if action is Action.LEAVE:
            self._report.count(Tally(unchanged=1))
            self._conflicts.pop(key(planned.path), None)
            if not self._step.commit and self._standing.bases.get(key(planned.path)) != arrival.sha256:
                left[planned.path] = arrival.sha256
        if action is Action.REFUSE:
            self._refuse(planned, Problem(arrival.path, note))
        elif note and not self._step.commit:
            self._report.mention(arrival.path, note)
        return planned.writes

    async def _write(
        self, batch: Sequence[Planned], left: dict[str, str], *, commit: str = "", coming: Collection[str] = ()
    ) -> None:
        """One transaction, tried again when others write at the same moment; then each document by itself."""
        problem: AutomationError | None = None
        for _ in range(TRIES):
            made = await self._made(batch, frozenset(coming))
            try:
                await self._keep(made, left, commit)
                return
            except (StaleHead, PathTaken, DocumentNotFound) as error:
                problem = error
                await self._look()
                still = [each.planned for each in made if each.planned]
                again = [self._planner().document(each.arrival, each.path) for each in still]
                batch = [each for each in again if self._wanted(each, left)]
        if len(batch) > 1:
            await self._one_by_one(batch, coming)
        elif problem is not None and batch:
            self._refuse(batch[0], Problem(batch[0].arrival.path, problem.message))
        await self._keep([], left, commit)

    async def _one_by_one(self, batch: Sequence[Planned], coming: Collection[str]) -> None:
        """A process that dies among them leaves the whole batch to the next one."""
        place, self._report.place = self._report.place, self._begun
        for each in batch:
            await self._write([each], {}, coming=coming)
        self._report.place = place

    async def _made(self, batch: Sequence[Planned], coming: frozenset[str]) -> list[Made]:
        """What can be written; the rest is told of."""
        reading = [each for each in batch if each.decision.action is not Action.RENAME]
        bodies = await self._source.contents([each.arrival for each in reading]) if reading else []
        by_token = {each.arrival.token: body for each, body in zip(reading, bodies, strict=True)}
        texts = await self._texts(batch)
        said = Said(self._step.message, self._step.co_authors)
        results = await asyncio.to_thread(
            lambda: [self._maker.make(each, by_token.get(each.arrival.token), texts, said) for each in batch]
        )
        kept = []
        verdicts = await self._rules.verdicts(results, coming)
        for planned, verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict, Made):
                kept.append(verdict)
                self._conflicts.pop(key(planned.path), None)
            else:
                self._refuse(planned, verdict)
        return kept

    def _refuse(self, planned: Planned, problem: Problem) -> None:
        if self._step.commit:
            self._conflicts[key(planned.path)] = problem
        else:
            self._report.refuse(problem.path, problem.message)

    async def _texts(self, batch: Sequence[Planned]) -> dict[str, str]:
        """What is here, and what merges start from as far as it is still known."""
        places = {each.decision.place.sha256 for each in batch if each.decision.place}
        bases = {base for each in batch if each.decision.action is Action.MERGE for base in each.decision.bases}
        known = await self._ground.store.known(self._job.tenant_id, bases - places) if bases else ()
        wanted = sorted({*places, *known})
        return dict(await self._ground.documents.contents(self._job.tenant_id, wanted)) if wanted else {}

    async def _keep(self, made: Sequence[Made], left: dict[str, str], commit: str) -> None:
        """Commits, with how far the job is then."""
        bases = left | {each.write.path: each.base for each in made}
        bases |= {
            each.before.path: "" for each in made if each.before and key(each.before.path) != key(each.write.path)
        }
        if not made and not commit and not bases:
            await self._report.tell()
            return
        tally = self._report.tally
        for each in made:
            self._report.count(each.tally)
        work = Commit(
            writes=[(each.write, each.text) for each in made],
            bases=bases,
            kept=[each.brought for each in made if each.brought],
            commit=commit,
        )
        place = (self._asked.prefix, self._asked.root)
        try:
            heads = await self._ground.store.commit(self._job, self._asked.branch, place, work, self._report.sight())
        except BaseException:
            self._report.tally = tally
            raise
        self._report.told()
        for each, head in zip(made, heads, strict=True):
            self._standing.take(each.before, head)
        self._standing.brought(bases)
        self._ground.doorbell.ring()

    async def _delete(self, places: Sequence[Place]) -> None:
        """To the trash, from which they can be restored."""
        for start in range(0, len(places), BATCH):
            batch = places[start : start + BATCH]
            texts = await self._ground.documents.contents(self._job.tenant_id, [each.sha256 for each in batch])
            said = Said(self._step.message, self._step.co_authors)
            made = [self._maker.delete(each, texts[each.sha256], said) for each in batch]
            for each in batch:
                base = self._standing.bases.get(key(each.path), "")
                if base and base != each.sha256:
                    self._report.mention(
                        each.path,
                        f"was changed here by {each.updated_by} and is not in the archive any more: it is in the trash",
                    )
            await self._delete_made(made)

    async def _delete_made(self, made: Sequence[Made]) -> None:
        try:
            await self._keep(made, {}, "")
        except (StaleHead, DocumentNotFound) as error:
            await self._look()
            if len(made) == 1:
                self._report.refuse(made[0].write.path, error.message)
                return
            for each in made:
                await self._delete_made([each])
