"""The indexes of one tenant in one folder: opened, written, looked at. Everything here blocks: call it in a thread."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tantivy

from services.doc.domain.search.errors import IndexDamaged
from services.doc.domain.search.page import IndexedPage, number_of
from services.doc.domain.search.ports import Update
from services.doc.domain.search.spelling import Vocabulary
from services.doc.search import integrity, schema

SECTIONS, PAGES, LINKS = "sections", "pages", "links"
SCHEMAS = {SECTIONS: schema.sections, PAGES: schema.pages, LINKS: schema.links}
BUILT = "built.json"
SMALL_HEAP, LARGE_HEAP = 16_000_000, 96_000_000
CHECK_EVERY_S = 0.02
VOCABULARY_FOR_S = 10.0
MAX_VOCABULARIES = 8

_editions = itertools.count(1)


@dataclass(slots=True)
class View:
    """The indexes as they were after one commit."""

    sections: tantivy.Searcher
    pages: tantivy.Searcher
    links: tantivy.Searcher
    schemas: Mapping[str, tantivy.Schema]
    spaces: frozenset[str]
    """All that have something in it, and perhaps some more."""
    whole: bool
    """The three are of one commit; not so after a death between two of them, until the next."""
    edition: int = field(default_factory=lambda: next(_editions))


class TenantFolder:
    """One writer at a time (the callers see to it); any number of readers, each with the view of its time."""

    def __init__(self, folder: Path, *, heap: int = SMALL_HEAP) -> None:
        self.folder, self._heap = folder, heap
        self._writing = threading.RLock()  # a caller that was cancelled leaves its thread at work: `close` waits for it
        self._indexes: dict[str, tantivy.Index] = {}
        self._writers: dict[str, tantivy.IndexWriter] = {}
        self._files: Mapping[Path, Mapping[Path, int]] = {}
        self._checked_at = 0.0
        self._vocabularies: dict[frozenset[str] | None, tuple[float, Vocabulary]] = {}
        self.sequence = 0
        self.view: View

    @classmethod
    def create(cls, folder: Path, *, heap: int = SMALL_HEAP) -> TenantFolder:
        """Empty. Raises IndexDamaged."""
        made = cls(folder, heap=heap)
        with _guarded(folder, always=True):
            for name, build in SCHEMAS.items():
                (folder / name).mkdir(parents=True)
                made._indexes[name] = tantivy.Index(build(), str(folder / name))
            made._refresh(whole=True)
        return made

    @classmethod
    def open(cls, folder: Path) -> TenantFolder:
        """One that is there. Raises IndexDamaged."""
        found = cls(folder)
        try:
            built = json.loads((folder / BUILT).read_bytes())
            found.sequence, commits = int(built["sequence"]), built.get("commits")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise integrity.damaged(folder / BUILT, "cannot be read") from error
        for name, build in SCHEMAS.items():
            integrity.verify(folder / name)
            with _guarded(folder / name, always=True):
                found._indexes[name] = tantivy.Index(build(), str(folder / name))
        with _guarded(folder, always=True):
            found._refresh(whole=commits == found._commits())
        return found

    @property
    def writes(self) -> bool:
        """It holds what it takes to write: threads and memory, until it is closed."""
        return bool(self._writers)

    def write(self, update: Update, sequence: int) -> None:
        """What became of some documents; readers see it when it returns. Raises IndexDamaged."""
        self.check(now=True)
        gone = [*map(number_of, update.gone), *update.gone_numbers, *(page.number for page in update.pages)]
        with self._writing, _guarded(self.folder, always=True):
            self._take_out(gone)
            self._put_in(update.pages)
            self.commit(sequence)

    def add(self, pages: Sequence[IndexedPage]) -> None:
        """Those that are not there yet; `commit` shows them. Raises IndexDamaged."""
        with self._writing, _guarded(self.folder, always=True):
            self._put_in(pages)

    def commit(self, sequence: int) -> None:
        """Everything so far, up to that change. Raises IndexDamaged."""
        with self._writing, _guarded(self.folder, always=True):
            for writer in self._writers.values():
                writer.commit()
            self.sequence = sequence
            self._refresh(whole=True)
            write_json(self.folder / BUILT, {"sequence": sequence, "commits": self._commits()})

    def close(self) -> None:
        """Waits for merges; what is not committed is lost. Readers go on, and the next write opens it again."""
        with self._writing:
            writers, self._writers = list(self._writers.values()), {}
            for writer in writers:
                with _guarded(self.folder, always=True):
                    writer.wait_merging_threads()

    def check(self, *, now: bool = False) -> None:
        """Raises IndexDamaged when files are gone or cut. Looks at most every few milliseconds."""
        if now or time.monotonic() - self._checked_at >= CHECK_EVERY_S:
            integrity.check(self._files)
            self._checked_at = time.monotonic()

    @contextmanager
    def reading(self) -> Iterator[View]:
        """The view of now. Raises IndexDamaged when reading shows that files are not what they should be."""
        self.check()
        with _guarded(self.folder):
            yield self.view

    def numbers(self, space: str) -> frozenset[int]:
        """Of its pages."""
        with self.reading() as view:
            query = tantivy.Query.term_query(view.schemas[PAGES], "space", space)
            hits = view.pages.search(query, max(1, view.pages.num_docs), count=False).hits
            found = view.pages.fast_field_values("page", [address for _, address in hits])
            return frozenset(int(each) for each in found if each is not None)

    def contents(self) -> str | None:
        """See SearchIndex."""
        with self.reading() as view:
            if not view.whole:
                return None
            query = tantivy.Query.all_query()
            hits = view.pages.search(query, max(1, view.pages.num_docs), count=False).hits
            found = view.pages.fast_field_values("content", [address for _, address in hits]) if hits else []
            return f"{schema.VERSION} {len(found)} {sum(each or 0 for each in found):x}"

    def vocabulary(self, spaces: frozenset[str]) -> Vocabulary:
        """See SearchIndex."""
        with self.reading() as view:
            key = None if view.spaces <= spaces else spaces & view.spaces
            known = self._vocabularies.get(key)
            now = time.monotonic()
            if known is not None and (known[1].edition == view.edition or now - known[0] < VOCABULARY_FOR_S):
                return known[1]
            filtered = None
            if key is not None:
                filtered = tantivy.Query.term_set_query(view.schemas[PAGES], "space", sorted(key))
            made = Vocabulary(dict(view.pages.terms_with_prefix("surface", "", filtered)), view.edition)
            if len(self._vocabularies) >= MAX_VOCABULARIES:
                self._vocabularies.pop(next(iter(self._vocabularies)))
            self._vocabularies[key] = (now, made)
            return made

    def _writer(self, name: str) -> tantivy.IndexWriter:
        if name not in self._writers:
            self._writers[name] = self._indexes[name].writer(self._heap, 1)
        return self._writers[name]

    def _take_out(self, numbers: Sequence[int]) -> None:
        """By a query: the deletion by term takes every number for a signed one and finds nothing."""
        for name, index in self._indexes.items() if numbers else ():
            query = tantivy.Query.term_set_query(index.schema, "page", numbers)
            self._writer(name).delete_documents_by_query(query)

    def _put_in(self, pages: Sequence[IndexedPage]) -> None:
        sections, whole, links = self._writer(SECTIONS), self._writer(PAGES), self._writer(LINKS)
        for page in pages:
            whole.add_document(schema.page_document(page))
            for document in schema.section_documents(page):
                sections.add_document(document)
            for document in schema.link_documents(page):
                links.add_document(document)

    def _commits(self) -> Mapping[str, int]:
        return {name: integrity.last_commit(self.folder / name) for name in SCHEMAS}

    def _refresh(self, *, whole: bool) -> None:
        for index in self._indexes.values():
            index.reload()
        searchers = {name: index.searcher() for name, index in self._indexes.items()}
        spaces = frozenset(term for term, _ in searchers[PAGES].terms_with_prefix("space", ""))
        self._files = {self.folder / name: integrity.sizes(self.folder / name) for name in SCHEMAS}
        schemas = {name: index.schema for name, index in self._indexes.items()}
        self.view = View(searchers[SECTIONS], searchers[PAGES], searchers[LINKS], schemas, spaces, whole)


@contextmanager
def _guarded(path: Path, *, always: bool = False) -> Iterator[None]:
    """tantivy says ValueError or panics, whatever the reason: it is the files when they turn out not to be whole."""
    try:
        yield
    except IndexDamaged:
        raise
    except BaseException as error:
        if not (isinstance(error, ValueError | OSError) or type(error).__name__ == "PanicException"):
            raise
        if not always:
            for name in SCHEMAS:
                integrity.verify(path / name)
            raise
        raise integrity.damaged(path, f"cannot be used ({str(error)[:200]})") from error


def write_json(path: Path, value: object) -> None:
    """All of it or nothing. Raises IndexDamaged where the disk takes nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(value))
        os.replace(fresh, path)
    except OSError as error:
        raise integrity.damaged(path, f"cannot be written ({error})") from error
