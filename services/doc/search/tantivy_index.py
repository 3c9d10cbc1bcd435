"""Search in tantivy: a folder a replica, in it one a tenant. What is lost of it is built anew from the documents."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from services.doc.domain.search.errors import IndexDamaged, IndexNotReady, being_built
from services.doc.domain.search.page import IndexedPage
from services.doc.domain.search.plan import Hit, IndexStatus, Plan, Title
from services.doc.domain.search.ports import Update
from services.doc.domain.search.spelling import Vocabulary
from services.doc.search import lookup
from services.doc.search.cursor import Cursor
from services.doc.search.folder import LARGE_HEAP, TenantFolder
from services.doc.search.places import NEW, OLD, closed, moved, own_folder
from services.doc.search.schema import VERSION

T = TypeVar("T")

log = structlog.get_logger(__name__)

MAX_OPEN = 64
"""Tenants whose indexes are held open; the others are opened when they are asked."""
MAX_WRITERS = 8
"""Tenants whose indexes can be written at once: each takes some twenty threads and ten megabytes."""


class TantivyIndex:
    """A services.doc.domain.search.ports.SearchIndex. Open it with `open`."""

    engine = "tantivy"

    def __init__(self, root: Path, wake: Callable[[], None]) -> None:
        self._root, self._wake = root / f"v{VERSION}", wake
        self._cursor = Cursor(self._root / "cursor.json")
        self._open: OrderedDict[str, TenantFolder] = OrderedDict()
        self._writing: list[TenantFolder] = []
        self._opening = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path, wake: Callable[[], None]) -> AsyncGenerator[TantivyIndex]:
        """`wake` is called when something is to be built anew. Processes that share `root` do not share a folder."""
        slot, lock = await asyncio.to_thread(own_folder, root)
        with lock:
            index = cls(slot, wake)
            await asyncio.to_thread(index._begin)
            try:
                yield index
            finally:
                for folder in index._open.values():
                    await asyncio.to_thread(closed, folder)

    def edition(self, tenant_id: str) -> object | None:
        """Of the view that answers."""
        folder = self._open.get(tenant_id)
        return folder.view.edition if folder is not None and self._is_built(tenant_id) else None

    async def contents(self, tenant_id: str) -> str | None:
        """Takes some milliseconds for each ten thousand pages."""
        return await self._asked(tenant_id, TenantFolder.contents, None)

    async def search(self, tenant_id: str, plan: Plan, *, offset: int, limit: int) -> Sequence[Hit]:
        """See SearchIndex."""

        def find(folder: TenantFolder) -> Sequence[Hit]:
            with folder.reading() as view:
                return lookup.Lookup(view, plan).hits(offset, limit)

        return await self._asked(tenant_id, find, [])

    async def frequencies(self, tenant_id: str, spaces: Sequence[str], tokens: Sequence[str]) -> Mapping[str, int]:
        """See SearchIndex."""

        def count(folder: TenantFolder) -> Mapping[str, int]:
            with folder.reading() as view:
                return lookup.frequencies(view, frozenset(spaces), tokens)

        return await self._asked(tenant_id, count, {})

    async def vocabulary(self, tenant_id: str, spaces: Sequence[str]) -> Vocabulary:
        """See SearchIndex."""
        return await self._asked(tenant_id, lambda folder: folder.vocabulary(frozenset(spaces)), Vocabulary({}))

    async def titles(
        self, tenant_id: str, spaces: Sequence[str], words: Sequence[str], prefix: str, limit: int
    ) -> Sequence[Title]:
        """See SearchIndex."""

        def find(folder: TenantFolder) -> Sequence[Title]:
            with folder.reading() as view:
                return lookup.titles(view, frozenset(spaces), words, prefix, limit)

        return await self._asked(tenant_id, find, [])

    async def completions(self, tenant_id: str, spaces: Sequence[str], prefix: str, limit: int) -> Sequence[str]:
        """See SearchIndex."""

        def find(folder: TenantFolder) -> Sequence[str]:
            with folder.reading() as view:
                return lookup.completions(view, frozenset(spaces), prefix, limit)

        return await self._asked(tenant_id, find, [])

    async def status(self, tenant_id: str, spaces: Sequence[str]) -> IndexStatus:
        """See SearchIndex."""

        def count(folder: TenantFolder) -> int:
            with folder.reading() as view:
                return lookup.sections(view, frozenset(spaces))

        rebuilding = not self._is_built(tenant_id)
        sections = 0
        if not rebuilding:
            try:
                sections = await self._asked(tenant_id, count, 0)
            except IndexNotReady:
                rebuilding = True
        return IndexStatus(self.engine, self._cursor.sequence or 0, sections, rebuilding)

    async def position(self) -> int | None:
        """See FollowingIndex."""
        return self._cursor.sequence

    async def begin(self, sequence: int, tenants: Sequence[str]) -> None:
        """See FollowingIndex."""
        self._cursor.sequence = sequence
        self._cursor.tenants = dict.fromkeys(tenants)
        await asyncio.to_thread(self._cursor.save)

    async def apply(self, updates: Sequence[Update], *, since: int, sequence: int) -> bool:
        """Tenants that are being built are left out: whoever builds catches up."""
        if self._cursor.sequence != since:
            return False
        for update in updates:
            tenant_id = update.tenant_id
            if tenant_id in self._cursor.tenants and self._cursor.tenants[tenant_id] is None:
                continue
            try:
                folder = await self._folder(tenant_id) or await self._made(tenant_id)
                await asyncio.to_thread(folder.write, update, sequence)
                await self._let_writers_go(folder)
            except IndexDamaged as error:
                await self._give_up(tenant_id, error)
                continue
            self._cursor.tenants[tenant_id] = sequence
        self._cursor.sequence = sequence
        await asyncio.to_thread(self._cursor.save)
        return True

    async def numbers(self, tenant_id: str, space: str) -> frozenset[int]:
        """See FollowingIndex."""
        return (
            await self._asked(tenant_id, lambda folder: folder.numbers(space), frozenset())
            if self._is_built(tenant_id)
            else frozenset()
        )

    async def unbuilt(self) -> Sequence[str]:
        """Those that are open are looked at: their files may have gone."""
        for tenant_id, folder in list(self._open.items()):
            try:
                await asyncio.to_thread(folder.check, now=True)
            except IndexDamaged as error:
                await self._give_up(tenant_id, error)
        return [tenant_id for tenant_id, sequence in self._cursor.tenants.items() if sequence is None]

    @asynccontextmanager
    async def build(self, tenant_id: str, sequence: int) -> AsyncGenerator[_Building | None]:
        """In a folder beside the old one."""
        place = self._path(tenant_id)
        fresh = place.with_name(place.name + NEW)
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        folder = await asyncio.to_thread(TenantFolder.create, fresh, heap=LARGE_HEAP)
        building = _Building(folder, sequence)
        try:
            yield building
            await asyncio.to_thread(folder.commit, building.sequence)
        except BaseException:
            await asyncio.to_thread(closed, folder)
            await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
            raise
        await asyncio.to_thread(folder.close)
        async with self._opening:
            await self._swap(tenant_id, fresh, place)
        self._cursor.tenants[tenant_id] = building.sequence
        await asyncio.to_thread(self._cursor.save)

    async def _swap(self, tenant_id: str, fresh: Path, place: Path) -> None:
        """Whoever reads the old one keeps it until the answer is there."""
        old = self._open.pop(tenant_id, None)
        if old is not None:
            await asyncio.to_thread(closed, old)
        await self._keep(tenant_id, await asyncio.to_thread(moved, fresh, place))

    async def _asked(self, tenant_id: str, ask: Callable[[TenantFolder], T], nothing: T) -> T:
        """In a thread. Raises IndexNotReady while the tenant's index is being built."""
        if not self._is_built(tenant_id):
            raise being_built()
        try:
            folder = await self._folder(tenant_id)
            return nothing if folder is None else await asyncio.to_thread(ask, folder)
        except IndexDamaged as error:
            await self._give_up(tenant_id, error)
            raise

    def _is_built(self, tenant_id: str) -> bool:
        return self._cursor.sequence is not None and self._cursor.tenants.get(tenant_id, 0) is not None

    async def _folder(self, tenant_id: str) -> TenantFolder | None:
        """None for a tenant of which nothing is there. Raises IndexDamaged."""
        if tenant_id in self._open:
            self._open.move_to_end(tenant_id)
            return self._open[tenant_id]
        at = self._cursor.tenants.get(tenant_id)
        if at is None:
            return None
        async with self._opening:
            if tenant_id not in self._open:
                folder = await asyncio.to_thread(TenantFolder.open, self._path(tenant_id))
                if folder.sequence < at:
                    raise IndexDamaged("the search index is an old copy: it is built anew")
                await self._keep(tenant_id, folder)
        return self._open[tenant_id]

    async def _made(self, tenant_id: str) -> TenantFolder:
        """The first documents of a tenant."""
        place = self._path(tenant_id)
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        folder = await asyncio.to_thread(TenantFolder.create, place)
        async with self._opening:
            await self._keep(tenant_id, folder)
        return folder

    async def _keep(self, tenant_id: str, folder: TenantFolder) -> None:
        self._open[tenant_id] = folder
        while len(self._open) > MAX_OPEN:
            _, least = self._open.popitem(last=False)
            await asyncio.to_thread(closed, least)

    async def _let_writers_go(self, last: TenantFolder) -> None:
        """Of those that wrote the longest ago."""
        self._writing = [*(each for each in self._writing if each.writes and each is not last), last]
        while len(self._writing) > MAX_WRITERS:
            await asyncio.to_thread(closed, self._writing.pop(0))

    async def _give_up(self, tenant_id: str, error: IndexDamaged) -> None:
        """It is built anew; until then it answers nothing."""
        if self._is_built(tenant_id):
            log.warning("a search index is built anew", tenant_id=tenant_id, why=error.message)
        self._cursor.tenants[tenant_id] = None
        folder = self._open.pop(tenant_id, None)
        if folder is not None:
            await asyncio.to_thread(closed, folder)
        await asyncio.to_thread(self._cursor.save)
        self._wake()

    def _path(self, tenant_id: str) -> Path:
        return self._root / hashlib.sha256(tenant_id.encode()).hexdigest()[:32]

    def _begin(self) -> None:
        """Indexes of other versions go, and what was left half done."""
        self._root.mkdir(parents=True, exist_ok=True)
        for other in self._root.parent.iterdir():
            if other != self._root:
                shutil.rmtree(other, ignore_errors=True)
        for left in [*self._root.glob(f"*{NEW}"), *self._root.glob(f"*{OLD}")]:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        self._cursor = Cursor.read(self._root / "cursor.json")


class _Building:
    """A services.doc.domain.search.ports.Sink."""

    def __init__(self, folder: TenantFolder, sequence: int) -> None:
        self._folder, self.sequence = folder, sequence

    async def add(self, pages: Sequence[IndexedPage]) -> None:
        await asyncio.to_thread(self._folder.add, pages)

    async def catch_up(self, update: Update, sequence: int) -> None:
        await asyncio.to_thread(self._folder.write, update, sequence)
        self.sequence = sequence
