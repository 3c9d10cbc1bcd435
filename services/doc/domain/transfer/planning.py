"""What a step of an import means for the documents that are here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from automesh.core.errors import ValidationError
from services.doc.domain.documents.document import Head
from services.doc.domain.documents.path import key
from services.doc.domain.jobs.job import Problem
from services.doc.domain.transfer.arrival import Arrival, Named, Step, named
from services.doc.domain.transfer.deciding import Action, Decision, Place, decide

BATCH, BATCH_BYTES = 100, 4 * 1024 * 1024


class Standing:
    """Documents and what imports brought, by key of their paths; kept up to date as writes are committed."""

    def __init__(self, places: Sequence[Place], bases: Mapping[str, str]) -> None:
        self.live: dict[str, Place] = {}
        self.trashed: dict[str, Place] = {}
        self.bases = dict(bases)
        for place in places:
            (self.trashed if place.deleted else self.live)[key(place.path)] = place

    def claimed(self, origins: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """By key, with what files are said to be made from: the document that is meant, and that content."""
        meant = {at: self.live.get(at) or self.trashed.get(at) for at in origins}
        said = {at: (place.document_id, origins[at]) for at, place in meant.items() if place is not None}
        return {at: each for at, each in said.items() if each[1].isalnum()}  # an archive says what it likes

    def take(self, before: Place | None, head: Head) -> None:
        """A write was committed."""
        if before is not None:
            (self.trashed if before.deleted else self.live).pop(key(before.path), None)
        place = Place(
            document_id=head.document_id,
            revision_id=head.revision_id,
            path=head.path,
            sha256=head.sha256,
            updated_by=head.updated_by,
            deleted=head.deleted_at is not None,
        )
        (self.trashed if place.deleted else self.live)[key(place.path)] = place

    def brought(self, bases: Mapping[str, str]) -> None:
        """By path: what an import has brought; empty to forget."""
        for path, sha256 in bases.items():
            if sha256:
                self.bases[key(path)] = sha256
            else:
                self.bases.pop(key(path), None)


@dataclass(frozen=True, slots=True)
class Planned:
    """A document that arrives, where it goes, and what is done."""

    arrival: Arrival
    path: str
    decision: Decision

    @property
    def writes(self) -> bool:
        """A revision is made."""
        return self.decision.action not in {Action.LEAVE, Action.REFUSE}


@dataclass(frozen=True, slots=True)
class Plan:
    """Of one step. `missing` are documents that it does not have any more."""

    documents: Sequence[Planned]
    attachments: Sequence[tuple[Arrival, str]]
    missing: Sequence[Place]
    problems: Sequence[Problem]
    coming: Collection[str] = field(default_factory=frozenset)
    """Keys of all paths that the step brings."""


class Planner:
    """Plans steps of one import below `prefix` ("" or "a/b/")."""

    def __init__(self, standing: Standing, origins: Mapping[str, str], prefix: str, *, delete_missing: bool) -> None:
        """`origins`: by key of the path, the content that a file was made from, where it is one of the document."""
        self._standing, self._origins, self._prefix = standing, origins, prefix
        self._delete_missing = delete_missing

    def plan(self, step: Step) -> Plan:
        """Reads nothing but what it was given."""
        taken, problems = self._named(step)
        coming = frozenset(key(each.path) for _, each in taken)
        missing = self._missing(step, coming)
        documents = [
            self._moved(self.document(arrival, where.path), missing) for arrival, where in taken if where.document
        ]
        return Plan(
            documents=documents,
            attachments=[(arrival, where.path) for arrival, where in taken if not where.document],
            missing=list(missing.values()),
            problems=problems,
            coming=coming,
        )

    def document(self, arrival: Arrival, path: str) -> Planned:
        """What is done with one document as things stand now."""
        at, before = key(path), self._moved_from(arrival)
        place = self._standing.live.get(at)
        bases = [arrival.base, self._standing.bases.get(at, "")]
        if origin := self._origins.get(at):
            bases = [origin]  # what another copy has brought since is no text that this one has seen
        if place is None and before is not None:
            bases.append(self._standing.bases.get(key(before.path), ""))
            decision = decide(before, None, arrival.sha256, bases, path)
            if decision.action is Action.LEAVE:
                decision = Decision(Action.RENAME, before)
            return Planned(arrival, path, decision)
        return Planned(arrival, path, decide(place, self._standing.trashed.get(at), arrival.sha256, bases, path))

    def _named(self, step: Step) -> tuple[list[tuple[Arrival, Named]], list[Problem]]:
        """Of names that differ in case only, the first is taken."""
        problems = list(step.problems)
        taken: list[tuple[Arrival, Named]] = []
        seen: dict[str, str] = {}
        for arrival in step.arrivals:
            try:
                where = named(arrival.path, self._prefix)
            except ValidationError as error:
                problems.append(Problem(arrival.path, f"{error.message}: rename it in the archive"))
                continue
            first = seen.setdefault(key(where.path), arrival.path)
            if first != arrival.path:
                problems.append(
                    Problem(
                        arrival.path, f"is the same path as {first!r} where case does not count: rename one of them"
                    )
                )
                continue
            taken.append((arrival, where))
        return taken, problems

    def _missing(self, step: Step, coming: Collection[str]) -> dict[str, Place]:
        """By key; what a step takes away, or what lies below the prefix and is not in the source at its end."""
        gone = {self._key(each.path) for each in step.departures}
        if self._delete_missing and step.present is not None:
            present = {self._key(path) for path in step.present} | set(coming)
            gone |= self._standing.live.keys() - present
        return {at: self._standing.live[at] for at in sorted(gone) if at in self._standing.live and at not in coming}

    def _moved(self, planned: Planned, missing: dict[str, Place]) -> Planned:
        """One that would be new, and has the content of one that is missing, is that one."""
        place = planned.decision.place
        if planned.decision.action is Action.CREATE:
            place = next((each for each in missing.values() if each.sha256 == planned.arrival.sha256), None)
            if place is not None:
                planned = replace(planned, decision=Decision(Action.RENAME, place))
        if place is not None:
            missing.pop(key(place.path), None)
        return planned

    def _moved_from(self, arrival: Arrival) -> Place | None:
        return self._standing.live.get(self._key(arrival.moved_from)) if arrival.moved_from else None

    def _key(self, path: str) -> str:
        return key(self._path(path))

    def _path(self, path: str) -> str:
        """Empty for what is no name."""
        try:
            return named(path, self._prefix).path
        except ValidationError:
            return ""


def batches(planned: Sequence[Planned]) -> Sequence[Sequence[Planned]]:
    """In pieces that are written in one transaction each."""
    parts: list[list[Planned]] = []
    size = 0
    for each in planned:
        if not parts or len(parts[-1]) == BATCH or size + each.arrival.size > BATCH_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(each)
        size += each.arrival.size
    return parts
