"""What is kept of sites, and for how long."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.doc.domain.publishing.site import ReleaseFile
from services.doc.store.site_contents import FileDamaged
from tests.integration.doc.doc_house_sites import Stores

pytestmark = pytest.mark.postgres


async def test_contents_that_no_release_has_any_more_are_swept_and_others_stay(stores: Stores) -> None:
    await stores.asked("rel_1")
    await stores.finished(b"first")
    await stores.asked("rel_2")
    await stores.finished(b"second" * 200_000)
    await stores.kept(b"of a build that died")
    assert await stores.contents.sweep() == 0
    await stores.database.execute("UPDATE site_content SET touched_at = now() - interval '2 h'", tenant="default")
    assert await stores.contents.sweep() == 1
    await stores.database.execute("DELETE FROM release WHERE release_id = 'rel_1'", tenant="default")
    assert await stores.contents.sweep() == 1
    large = await stores.contents.body("default", hashlib.sha256(b"second" * 200_000).hexdigest())
    assert large.content is None
    assert b"".join([chunk async for chunk in stores.contents.chunks(large)]) == b"second" * 200_000


async def test_a_large_file_whose_build_dies_is_swept_up_in_time_and_one_that_is_kept_is_not(stores: Stores) -> None:
    due = "SELECT count(*) FROM discarded_blob WHERE blob LIKE 'doc/sites/%' AND due_at {} now()"
    content = b"large" * 200_000
    file = ReleaseFile(path="a", sha256=hashlib.sha256(content).hexdigest(), size=len(content), content_type="x/y")

    async def cut(_: ReleaseFile) -> AsyncIterator[bytes]:
        yield content[:1000]
        raise FileDamaged("as if killed")

    with pytest.raises(FileDamaged):
        await stores.contents.keep("default", [file], cut)
    assert await stores.database.fetchval(due.format(">"), tenant="default") == 1
    await stores.kept(content)
    assert await stores.database.fetchval(due.format(">"), tenant="default") == 1
    await stores.database.execute("UPDATE site_content SET touched_at = now() - interval '2 h'", tenant="default")
    assert await stores.contents.sweep() == 1
    assert await stores.database.fetchval(due.format("<="), tenant="default") == 1


async def test_previews_go_with_their_branch(stores: Stores) -> None:
    for branch in ("main", "gone"):
        await stores.asked(f"rel_{branch}", preview=True, branch=branch)
        await stores.finished()
    assert await stores.queue.clean_up() == 1
    assert (await stores.sites.release("default", "guides", "rel_main")).preview


async def test_the_release_that_readers_see_cannot_be_removed(stores: Stores) -> None:
    await stores.asked("rel_1")
    await stores.finished()
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await stores.database.execute("DELETE FROM release", tenant="default")
    assert await stores.current() == "rel_1"
