"""Diffs: patches that git applies, rows beside each other, words, and who wrote which line."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.doc.domain.documents import diff
from services.doc.domain.documents.blame import Origin, Step, blame
from services.doc.domain.documents.diff import Row, RowKind, Span
from services.doc.domain.documents.lines import equal_blocks, lines_of

GIT = shutil.which("git")
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.lists(st.sampled_from(["a", "b", "c", "ä long one", ""]), max_size=12).map("\n".join)
ended = st.tuples(texts, st.sampled_from(["", "\n"])).map("".join)


@given(ended)
def test_lines_put_together_are_the_text(text: str) -> None:
    assert "".join(lines_of(text)) == text
    assert all(line.endswith("\n") for line in lines_of(text)[:-1])


@QUICK
@given(st.text("ab", max_size=14), st.text("ab", max_size=14))
def test_equal_blocks_are_equal_in_order_apart_and_as_long_as_can_be(left: str, right: str) -> None:
    blocks = equal_blocks(left, right)
    at, there = 0, 0
    for number, block in enumerate(blocks):
        assert block.size > 0
        assert block.left >= at
        assert block.right >= there
        assert number == 0 or (block.left, block.right) != (at, there)
        assert left[block.left : block.left + block.size] == right[block.right : block.right + block.size]
        at, there = block.left + block.size, block.right + block.size
    assert sum(block.size for block in blocks) == longest_common(left, right)


def longest_common(left: str, right: str) -> int:
    row = [0] * (len(right) + 1)
    for one in left:
        above = row[:]
        for at, other in enumerate(right):
            row[at + 1] = above[at] + 1 if one == other else max(above[at + 1], row[at])
    return row[-1]


@pytest.mark.skipif(GIT is None, reason="there is no git here")
@QUICK
@given(left=ended, right=ended, context=st.integers(0, 4))
def test_a_patch_makes_the_one_text_into_the_other(tmp_path: Path, left: str, right: str, context: int) -> None:
    assert GIT is not None
    patch = diff.unified(left, right, left_name="a/page", right_name="b/page", context=context)
    assert (patch == "") == (left == right)
    if not patch:
        return
    (tmp_path / "page").write_text(left)
    (tmp_path / "patch").write_text(patch)
    subprocess.run([GIT, "apply", "--unidiff-zero", "patch"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "page").read_text() == right


@given(ended, ended)
def test_counted_lines_are_those_of_the_patch(left: str, right: str) -> None:
    patch = diff.unified(left, right, left_name="a", right_name="b").split("\n")[2:]
    found = diff.counts(left, right)
    assert found.added == sum(line.startswith("+") for line in patch)
    assert found.removed == sum(line.startswith("-") for line in patch)


@given(ended, ended)
def test_rows_hold_both_texts(left: str, right: str) -> None:
    rows = diff.rows(left, right, words=True, context=None)
    assert [row.left for row in rows if row.left_line] == [line.rstrip("\n") for line in lines_of(left)]
    assert [row.right for row in rows if row.right_line] == [line.rstrip("\n") for line in lines_of(right)]
    for row in rows:
        assert (row.kind is RowKind.EQUAL) <= (row.left == row.right)


@given(ended, ended, st.integers(0, 3))
def test_rows_that_are_left_out_are_counted(left: str, right: str, context: int) -> None:
    whole = diff.rows(left, right, context=None)
    folded = diff.rows(left, right, context=context)
    assert sum(row.left_line if row.kind is RowKind.GAP else 1 for row in folded) == len(whole)
    assert [row for row in folded if row.kind is not RowKind.GAP] == [row for row in whole if row in folded]


@given(st.text("ab .", max_size=30), st.text("ab .", max_size=30))
def test_words_that_are_not_marked_are_equal(left: str, right: str) -> None:
    rows = [row for row in diff.rows(f"{left}\n", f"{right}\n", words=True) if row.kind is RowKind.CHANGED]
    for row in rows:
        assert without(row.left, row.left_changes) == without(row.right, row.right_changes)


def without(text: str, spans: object) -> str:
    marked = {at for span in spans for at in range(span.start, span.end)}  # type: ignore[attr-defined]
    return "".join(char for at, char in enumerate(text) if at not in marked)


def test_a_changed_line_shows_which_words_changed() -> None:
    [row] = diff.rows("the quick fox\n", "the slow fox\n", words=True)
    assert row == Row(RowKind.CHANGED, 1, "the quick fox", 1, "the slow fox", [Span(4, 9)], [Span(4, 8)])


def test_a_line_of_very_many_words_is_changed_from_end_to_end() -> None:
    long = "word " * 3_000
    [row] = diff.rows(f"{long}\n", f"{long}more\n", words=True)
    assert (row.left_changes, row.right_changes) == ([Span(0, len(long))], [Span(0, len(long) + 4)])


# ---------------------------------------------------------------------- blame
def test_a_line_belongs_to_the_revision_after_which_it_did_not_change() -> None:
    steps = [
        Step("r1", [], "one\ntwo\nthree\n"),
        Step("r2", ["r1"], "one\nTWO\nthree\n"),
        Step("r3", ["r2"], "zero\none\nTWO\nthree\n"),
    ]
    assert blame(steps) == [Origin(1, 1, "r3"), Origin(2, 1, "r1"), Origin(3, 1, "r2"), Origin(4, 1, "r1")]


def test_a_merged_line_belongs_to_who_wrote_it_on_either_side() -> None:
    steps = [
        Step("r1", [], "one\ntwo\nthree\n"),
        Step("ours", ["r1"], "ONE\ntwo\nthree\n"),
        Step("theirs", ["r1"], "one\ntwo\nTHREE\n"),
        Step("merge", ["ours", "theirs"], "ONE\ntwo\nTHREE\nnew\n"),
    ]
    assert blame(steps) == [
        Origin(1, 1, "ours"), Origin(2, 1, "r1"), Origin(3, 1, "theirs"), Origin(4, 1, "merge"),
    ]  # fmt: skip


def test_what_came_before_the_steps_that_are_looked_at_belongs_to_the_first_of_them() -> None:
    assert blame([Step("r7", ["r6"], "a\nb\n"), Step("r8", ["r7"], "a\nb\nc\n")]) == [
        Origin(1, 2, "r7"),
        Origin(3, 1, "r8"),
    ]
    assert blame([]) == []
