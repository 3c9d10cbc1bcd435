"""Shared texts: what is taken, what is refused without a trace, and the program that holds them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Text

from services.doc.domain.editing.errors import RoomBeganAnew, TextsLost, UpdateMalformed
from services.doc.domain.editing.ports import Verdict
from services.doc.domain.editing.splices import splices
from services.doc.domain.editing.waiting import WaitingRoom
from services.doc.editing import shared_text, varints
from services.doc.editing.frames import Frame
from services.doc.editing.process import TextsProcess
from services.doc.editing.shared_text import SharedText, begin
from services.doc.editing.worker import UNKNOWN, Texts

FOUNDER, ROOM, MOST = 7, "room_1", 10_000
TEXTS = st.text(alphabet="ab \né😀-", max_size=80)


class Writer:
    """A document of Yjs that makes updates."""

    def __init__(self, first: bytes) -> None:
        self.doc: Doc[Text] = Doc(client_id=11)
        self.text = self.doc.get("content", type=Text)
        self.doc.apply_update(first)

    def update(self, do: Callable[[Text], object]) -> bytes:
        before = self.doc.get_state()
        with self.doc.transaction():
            do(self.text)
        return self.doc.get_update(before)


@pytest.fixture
def writer() -> Writer:
    return Writer(begin("start\n", FOUNDER))


@pytest.fixture
def text() -> SharedText:
    return SharedText([begin("start\n", FOUNDER)])


def test_a_room_begins_with_something_of_its_founder_even_when_it_is_empty() -> None:
    for content in ("", "text"):
        vector = SharedText([begin(content, FOUNDER)]).standing(b"", FOUNDER).state_vector
        assert varints.state_vector(vector)[FOUNDER] > 0


def test_an_update_that_builds_on_one_that_never_came_is_refused(text: SharedText, writer: Writer) -> None:
    lost = writer.update(lambda shared: shared.insert(0, "one "))
    second = writer.update(lambda shared: shared.insert(4, "two "))
    removing = writer.update(lambda shared: shared.__delitem__(slice(0, 4)))
    assert text.judge(second, max_bytes=MOST) is Verdict.OUT_OF_ORDER
    assert text.judge(removing, max_bytes=MOST) is Verdict.OUT_OF_ORDER
    assert str(text) == "start\n"
    for update in (lost, second, removing):
        assert text.judge(update, max_bytes=MOST) is Verdict.TAKEN
    assert str(text) == "two start\n"
    assert text.judge(lost, max_bytes=MOST) is Verdict.TAKEN  # once more does no harm
    assert str(text) == "two start\n"


def test_what_would_be_too_large_leaves_no_trace_and_what_shrinks_is_always_taken(writer: Writer) -> None:
    text = SharedText([begin("start\n", FOUNDER)])
    assert text.judge(writer.update(lambda shared: shared.insert(0, "x" * 100)), max_bytes=50) is Verdict.TOO_LARGE
    assert str(text) == "start\n"
    large = SharedText([begin("y" * 100, FOUNDER)])
    shrink = Writer(begin("y" * 100, FOUNDER)).update(lambda shared: shared.__delitem__(slice(0, 10)))
    assert large.judge(shrink, max_bytes=50) is Verdict.TAKEN  # the limit may have been lowered since


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_a_text(garbage: bytes) -> None:
    text = SharedText([begin("start\n", FOUNDER)])
    verdict = text.judge(garbage, max_bytes=MOST)
    if verdict is not Verdict.TAKEN:
        assert str(text) == "start\n"
    writer = Writer(begin("start\n", FOUNDER))
    assert text.judge(writer.update(lambda shared: shared.insert(0, "fine ")), max_bytes=MOST) is Verdict.TAKEN


@settings(deadline=None)
@given(st.data())
def test_a_damaged_update_is_taken_whole_or_not_at_all(data: st.DataObject) -> None:
    first = begin("start\n", FOUNDER)
    good = Writer(first).update(lambda shared: shared.insert(3, "inserted"))
    at = data.draw(st.integers(0, len(good) - 1))
    text = SharedText([first])
    verdict = text.judge(good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :], max_bytes=MOST)
    assert (str(text) == "start\n") or verdict is Verdict.TAKEN


def test_an_update_that_claims_to_hold_a_billion_things_is_refused_before_room_is_made_for_them(
    text: SharedText,
) -> None:
    for claim in (b"\x80\x80\x80\x80\x08", b"\x01\x80\x80\x80\x80\x08\x07\x00"):
        assert text.judge(claim + b"\x00" * 20, max_bytes=MOST) is Verdict.MALFORMED


def test_a_state_vector_of_another_room_is_refused(text: SharedText, writer: Writer) -> None:
    stranger = Writer(begin("start\n", FOUNDER + 1))
    with pytest.raises(RoomBeganAnew):
        text.standing(stranger.doc.get_state(), FOUNDER)
    assert text.standing(writer.doc.get_state(), FOUNDER).state_vector
    for garbage in (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x05\x01", b"\x00\x00"):
        with pytest.raises(UpdateMalformed):
            text.standing(garbage, FOUNDER)


@given(TEXTS, TEXTS)
def test_a_rewritten_text_reads_as_wanted_here_and_for_whoever_gets_the_update(old: str, new: str) -> None:
    first = begin(old, FOUNDER)
    text = SharedText([first])
    update = text.rewrite(new)
    assert str(text) == new
    other = Writer(first)
    if update:
        other.doc.apply_update(update)
    assert str(other.text) == new
    assert bool(update) == (old != new)


@given(TEXTS, TEXTS)
def test_splices_make_one_text_of_another(old: str, new: str) -> None:
    made, at = "", 0
    for splice in splices(old, new):
        assert at <= splice.start <= splice.end
        made += old[at : splice.start] + splice.text
        at = splice.end
    assert made + old[at:] == new


def test_a_small_change_is_a_small_splice() -> None:
    old = "".join(f"line {number}\n" for number in range(100))
    (splice,) = splices(old, old.replace("line 50", "line fifty"))
    assert (old[splice.start : splice.end], splice.text) == ("50", "fifty")


def test_history_is_brought_together_and_a_text_made_again_from_it_is_the_same(
    text: SharedText, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_text, "LOG_UPDATES", 10)
    for number in range(100):
        update = writer.update(lambda shared, word=f"{number} ": shared.insert(0, word))  # type: ignore[misc]  # the default of a lambda has no type
        assert text.judge(update, max_bytes=MOST) is Verdict.TAKEN
    assert text.judge(b"garbage", max_bytes=MOST) is Verdict.MALFORMED  # it is made again
    assert str(text) == str(writer.text)
    assert SharedText([text.snapshot()]).history < 3_000


@pytest.fixture
async def process() -> AsyncIterator[TextsProcess]:
    async with TextsProcess.open(call_limit_s=1.0) as texts:
        yield texts


def backwards(client: int, count: int) -> bytes:
    """An update that keeps Yjs busy for long beside another one of its kind."""
    doc: Doc[Text] = Doc(client_id=client)
    text = doc.get("content", type=Text)
    with doc.transaction():
        for _ in range(count):
            text.insert(0, "y")
    return doc.get_update()


async def test_the_program_holds_texts_and_loses_them_when_it_is_ended(process: TextsProcess, writer: Writer) -> None:
    first = await process.begin("start\n", FOUNDER)
    with pytest.raises(TextsLost):
        await process.text(ROOM)
    await process.load(ROOM, [first])
    update = Writer(first).update(lambda shared: shared.insert(0, "ü "))
    assert await process.judge(ROOM, [update, b"garbage"], max_bytes=MOST) == [Verdict.TAKEN, Verdict.MALFORMED]
    assert await process.text(ROOM) == "ü start\n"
    assert await process.rewrite(ROOM, "other\n")
    snapshot = await process.snapshot(ROOM)
    with pytest.raises(RoomBeganAnew):
        await process.standing(ROOM, Writer(begin("", 99)).doc.get_state(), FOUNDER)
    with pytest.raises(UpdateMalformed):
        await process.standing(ROOM, b"\xff", FOUNDER)
    assert process._process is not None
    process._process.kill()
    with pytest.raises(TextsLost):
        await process.text(ROOM)
    await process.load(ROOM, [snapshot])
    assert await process.text(ROOM) == "other\n"
    await process.drop(ROOM)
    with pytest.raises(TextsLost):
        await process.text(ROOM)


async def test_a_program_that_is_busy_for_too_long_is_ended_and_this_one_is_never_held_up(
    process: TextsProcess,
) -> None:
    await process.load(ROOM, [await process.begin("", FOUNDER)])
    assert await process.judge(ROOM, [backwards(1, 20_000)], max_bytes=1_000_000) == [Verdict.TAKEN]
    loop = asyncio.get_running_loop()
    turns: list[float] = []

    def turn() -> None:
        turns.append(loop.time())
        loop.call_later(0.02, turn)

    turn()
    with pytest.raises(TextsLost):
        await process.judge(ROOM, [backwards(2, 20_000)], max_bytes=1_000_000)
    gaps = [after - before for before, after in pairwise(turns)]
    assert sorted(gaps)[-2] < 0.5  # the longest one made the update
    await process.load(ROOM, [await process.begin("still here", FOUNDER)])
    assert await process.text(ROOM) == "still here"


def test_numbers_are_read_to_their_end_and_no_further() -> None:
    assert varints.read(b"\xac\x02rest", 0) == (300, 2)
    for cut in (b"", b"\x80", b"\x80" * 20):
        with pytest.raises(varints.Malformed):
            varints.read(cut, 0)


async def test_whoever_brings_more_than_may_wait_waits_with_it() -> None:
    room = WaitingRoom(most=3, most_bytes=10)
    await room.enter(100)  # the first is always let in
    late = asyncio.create_task(room.enter(1))
    await asyncio.wait({late}, timeout=0.05)
    assert not late.done()
    await room.leave(1, 100)
    await asyncio.wait_for(late, 5)
    await room.enter(1)
    await room.enter(1)
    fourth = asyncio.create_task(room.enter(1))
    await asyncio.wait({fourth}, timeout=0.05)
    assert not fourth.done()
    await room.leave(2, 2)
    await asyncio.wait_for(fourth, 5)


@pytest.mark.parametrize(
    "content",
    [b'\x05\x07{"a":1}', b"\x08\x01\x77\x03hey", b"\x03\x03abc", b"\x07\x02", b"\x09\x04guid\x76\x00"],
    ids=["embed", "value", "bytes", "shared text", "document"],
)
def test_what_is_no_character_is_refused_and_what_came_with_it_is_taken(content: bytes, writer: Writer) -> None:
    text = SharedText([begin("start\n", FOUNDER)])
    reference, rest = content[0], content[1:]
    # One struct of client 9, between the characters 1 and 2 of the founder.
    inserted = bytes([1, 1, 9, 0, 0xC0 | reference, FOUNDER, 1, FOUNDER, 2]) + rest + b"\x00"
    before = writer.update(lambda shared: shared.insert(0, "one "))
    after = writer.update(lambda shared: shared.insert(0, "two "))
    verdicts = text.judge_all([before, inserted, after], max_bytes=MOST)
    assert verdicts == [Verdict.TAKEN, Verdict.MALFORMED, Verdict.TAKEN]
    text.rewrite("something else")
    assert str(text) == str(SharedText([text.snapshot()])) == "something else"


async def test_a_text_that_breaks_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(text: SharedText) -> bytes:
        if str(text) == "bad\n":
            raise BaseException("a panic of Rust is no Exception")
        return b""

    monkeypatch.setattr(SharedText, "snapshot", panic)
    texts = Texts()
    for room, content in (("good", "good\n"), ("bad", "bad\n")):
        texts.answer(Frame({"do": "load", "room": room}, [begin(content, FOUNDER)]))
    assert texts.answer(Frame({"do": "snapshot", "room": "bad"})).head["error"] == UNKNOWN
    assert texts.answer(Frame({"do": "text", "room": "bad"})).head["error"] == UNKNOWN
    assert texts.answer(Frame({"do": "text", "room": "good"})).parts == [b"good\n"]
