"""Feeds: what people follow reaches them once, and nothing of spaces that they do not find."""

import asyncio
from pathlib import Path

import pytest

from automesh.doc.v1 import document_pb2, space_pb2, space_service_pb2
from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import notification_service_pb2 as pb
from automesh.storage.postgres import ENGINE
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.notifications.notice import Notice, NoticeKind
from services.doc.loops.notifications import Notifier
from services.doc.store.notifications import SqlChangeTeller, SqlFeedStore
from tests.integration.doc.doc_house import Served, doc_service, invalid, refused
from tests.integration.doc.doc_house_reviews import begin, judge, merge, propose
from tests.integration.doc.doc_house_reviews import on as on_branch
from tests.integration.doc.doc_house_sites import publishing
from tests.integration.doc.doc_house_talk import feed, notifications, say

pytestmark = pytest.mark.postgres


async def follow(served: Served, user: str, **fields: object) -> None:
    await (await notifications(served, user)).Follow(pb.FollowRequest(**fields))  # type: ignore[arg-type]  # fields, built from a dict


async def test_whoever_made_a_document_hears_of_its_changes_and_not_of_their_own(handbook: Served) -> None:
    made = await handbook.write()
    assert not await feed(handbook, "ann")
    later = await handbook.edit(made, "# Start\n\nMore.\n", user="bob")
    (told,) = await feed(handbook, "ann")
    assert (told.kind, told.actor, told.document_id, told.space) == (
        "document_changed",
        "bob",
        made.document_id,
        "handbook",
    )
    assert told.text == "bob has changed 'Start'"
    await handbook.edit(later, "# Start\n\nMine.\n", user="ann")
    assert len(await feed(handbook, "ann")) == 1
    assert not await feed(handbook, "bob")


async def test_many_changes_are_one_line_until_it_is_seen(handbook: Served) -> None:
    made = await handbook.write()
    now: document_pb2.Document = made
    for number in range(3):
        now = await handbook.edit(now, f"# Start\n\n{number}\n", user="bob")
    (told,) = await feed(handbook, "ann")
    assert told.text == "bob has changed 'Start' (3 times)"
    stub = await notifications(handbook, "ann")
    await stub.MarkSeen(pb.MarkSeenRequest(sequence=told.sequence))
    assert (await feed(handbook, "ann"))[0].seen
    assert not await feed(handbook, "ann", unseen=True)
    await handbook.edit(now, "# Start\n\nlater\n", user="bob")
    assert [each.seen for each in await feed(handbook, "ann")] == [False, True]


async def test_followers_of_a_space_hear_of_all_its_documents_and_may_stop_for_one(handbook: Served) -> None:
    await follow(handbook, "carl", space="handbook")
    one, two = await handbook.write("one.md", "# One\n"), await handbook.write("two.md", "# Two\n")
    assert {each.text for each in await feed(handbook, "carl")} == {"ann has created 'One'", "ann has created 'Two'"}
    await follow(handbook, "carl", space="handbook", document_id=one.document_id, stop=True)
    await handbook.edit(one, "# One\n\nmore\n")
    await handbook.edit(two, "# Two\n\nmore\n")
    assert (await feed(handbook, "carl"))[0].document_id == two.document_id
    assert len(await feed(handbook, "carl")) == 2
    await follow(handbook, "carl", space="handbook", stop=True)
    await handbook.write("three.md")
    assert len(await feed(handbook, "carl")) == 2


async def test_a_stop_is_remembered_when_one_is_mentioned_or_comments(handbook: Served) -> None:
    made = await handbook.write()
    await say(handbook, "hm", "bob", document_id=made.document_id)
    await follow(handbook, "bob", space="handbook", document_id=made.document_id, stop=True)
    await say(handbook, "hm again", "bob", document_id=made.document_id)
    await handbook.edit(made, "# Start\n\nMore.\n")
    assert not await feed(handbook, "bob")


async def test_who_begins_to_follow_is_not_told_of_what_was_before(handbook: Served) -> None:
    async with handbook.database.transaction(ENGINE) as tx:  # the loop is held up meanwhile
        await tx.execute("SELECT FROM follower WHERE name = 'notifications' FOR UPDATE")
        made = await handbook.write()
        await handbook.edit(made, "# Start\n\nBy bob.\n", user="bob")
        await follow(handbook, "carl", space="handbook", document_id=made.document_id)
    assert [each.actor for each in await feed(handbook, "ann")] == ["bob"], "who made it follows it from the beginning"
    assert not await feed(handbook, "carl")


async def test_an_import_is_one_line_for_whoever_follows_the_space(handbook: Served) -> None:
    await follow(handbook, "carl", space="handbook")
    stub = await handbook.documents("bob")
    # the loop sees them together: it is held up meanwhile
    async with handbook.database.transaction(ENGINE) as tx:
        await tx.execute("SELECT FROM follower WHERE name = 'notifications' FOR UPDATE")
        for number in range(15):
            await stub.CreateDocument(
                doc_pb.CreateDocumentRequest(space="handbook", path=f"{number}.md", content="x\n")
            )
    told = await feed(handbook, "carl")
    assert len(told) < 15
    assert any("documents of handbook" in each.text for each in told)


async def test_nobody_hears_of_a_space_that_they_do_not_find_any_more(handbook: Served) -> None:
    made = await handbook.write()
    await follow(handbook, "bob", space="handbook", document_id=made.document_id)
    later = await handbook.edit(made, "# Start\n\nMore.\n")
    assert len(await feed(handbook, "bob")) == 1
    spaces = await handbook.spaces()
    space = (await spaces.GetSpace(space_service_pb2.GetSpaceRequest(space="handbook"))).space
    space.visibility = space_pb2.VISIBILITY_MEMBERS
    space.members.append(space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_OWNER))
    await spaces.UpdateSpace(space_service_pb2.UpdateSpaceRequest(space=space))
    await handbook.edit(later, "# Start\n\nSecret.\n")
    assert not await feed(handbook, "bob")
    error = await refused((await notifications(handbook, "bob")).Follow(pb.FollowRequest(space="handbook")))
    assert error.reason == "SPACE_NOT_FOUND"


async def test_feeds_are_paged_and_belong_to_one_tenant(handbook: Served) -> None:
    await follow(handbook, "carl", space="handbook")
    for number in range(5):
        await handbook.write(f"{number}.md", f"# Page {number}\n")
        await feed(handbook, "carl")
    stub = await notifications(handbook, "carl")
    first = await stub.ListNotifications(pb.ListNotificationsRequest(page_size=3))
    rest = await stub.ListNotifications(pb.ListNotificationsRequest(page_size=3, page_token=first.next_page_token))
    sequences = [each.sequence for each in (*first.notifications, *rest.notifications)]
    assert sequences == sorted(sequences, reverse=True)
    assert (len(sequences), rest.next_page_token) == (5, "")
    await invalid(stub.ListNotifications(pb.ListNotificationsRequest(unseen=True, page_token=first.next_page_token)))
    await invalid(stub.MarkSeen(pb.MarkSeenRequest(sequence=-1)))
    assert not (await feed(handbook, "carl", unseen=False))[0].seen


async def test_each_change_is_told_exactly_once_by_any_number_of_replicas(
    postgres: PostgresForTests, tmp_path: Path
) -> None:
    async with doc_service(postgres, tmp_path) as served:
        await served.space()
        await follow(served, "carl", space="handbook")
        core = served.engine.core
        others = [
            Notifier(
                core.changes, SqlChangeTeller(core.outside.database, make_id=core.options.make_id),
                SqlFeedStore(core.outside.database), Doorbell(), poll_every_s=0.01, clean_every_s=3600,
            )
            for _ in range(3)
        ]  # fmt: skip

        async def work(notifier: Notifier) -> None:
            while True:
                await notifier.tell()
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(work(each)) for each in others]
        for number in range(10):
            await served.write(f"{number}.md", f"# Page {number}\n")
        told = await feed(served, "carl")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(each.text for each in told) == sorted(f"ann has created 'Page {number}'" for number in range(10))


async def test_other_parts_post_what_happened(handbook: Served) -> None:
    notice = Notice(
        tenant_id="default", kind=NoticeKind.PUBLISH_FAILED, space="handbook", actor="ann", text="it was not built",
        to=["bob", "ann"],
    )  # fmt: skip
    await handbook.engine.core.notices.post([notice])
    assert [(each.kind, each.text) for each in await feed(handbook, "bob")] == [("publish_failed", "it was not built")]
    assert not await feed(handbook, "ann")


async def test_what_nobody_reads_is_forgotten(handbook: Served) -> None:
    notice = Notice(tenant_id="default", kind=NoticeKind.PUBLISHED, space="handbook", actor="x", text="t", to=["bob"])
    await handbook.engine.core.notices.post([notice] * 30)
    store = SqlFeedStore(handbook.database)
    while await store.prune(90, 10, 5):
        pass
    assert len(await feed(handbook, "bob")) == 10
    await handbook.database.execute("UPDATE notification SET created_at = now() - interval '91 days'", tenant=ENGINE)
    while await store.prune(90, 10, 5):
        pass
    assert not await feed(handbook, "bob")


async def test_a_review_tells_those_who_are_asked_and_those_who_have_asked(handbook: Served) -> None:
    made = await handbook.write()
    await begin(handbook)
    await on_branch(handbook, made, "# Start\n\nBetter.\n")
    review = await propose(handbook, reviewers=["bob"])
    assert [(each.kind, each.review_id) for each in await feed(handbook, "bob")] == [
        ("review_requested", review.review_id)
    ]
    await judge(handbook, review, "bob")
    assert (await feed(handbook, "ann"))[0].text == "bob has approved 'Better words'"
    await merge(handbook, review, user="carl")
    assert [(await feed(handbook, user))[0].kind for user in ("ann", "bob")] == ["review_merged"] * 2
    assert not [each for each in await feed(handbook, "carl") if each.kind == "review_merged"]


async def test_followers_of_a_space_hear_of_its_site(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with publishing(postgres, tmp_path) as published:
        await follow(published.doc, "carl", space="handbook")
        await published.publish()
        (told, *_) = [each for each in await feed(published.doc, "carl") if each.kind == "published"]
        assert (told.actor, told.text) == ("ann", "ann has published the site of handbook")
