"""Three-way merges: against git as an oracle, against their laws, and what conflicts look like.

Where lines repeat there is often more than one longest common subsequence, and git looks for a quick one rather than
the longest: both may align the base with a side in other ways, and so find other places where the sides meet. There,
other outcomes are legitimate; what must hold is said by `patched`: hunks that do not touch are all in the merge.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.doc.domain.documents.lines import equal_blocks, lines_of
from services.doc.domain.documents.merge import Merged, merge

GIT = shutil.which("git")
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def edited(draw: st.DrawFn, base: Sequence[str], side: str, alphabet: Sequence[str] = ()) -> list[str]:
    """The base after up to three edits; without an alphabet every new line is one that stands nowhere else."""
    lines = list(base)
    for edit in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines)))
        gone, come = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        new = [draw(st.sampled_from(alphabet)) if alphabet else f"{side} {edit} {number}" for number in range(come)]
        lines[at : at + gone] = new
    return lines


@st.composite
def three(draw: st.DrawFn, alphabet: Sequence[str] = ()) -> tuple[str, str, str]:
    """Base, ours, theirs."""
    if alphabet:
        base = draw(st.lists(st.sampled_from(alphabet), max_size=9))
    else:
        base = [f"line {number}" for number in range(draw(st.integers(0, 9)))]
    sides = [base, draw(edited(base, "ours", alphabet)), draw(edited(base, "theirs", alphabet))]
    base_text, ours, theirs = (draw(ended(side)) for side in sides)
    return base_text, ours, theirs


@st.composite
def ended(draw: st.DrawFn, lines: Sequence[str]) -> str:
    """The last line may have no end."""
    text = "\n".join(lines)
    return f"{text}\n" if text and draw(st.booleans()) else text


@dataclass(frozen=True)
class Hunk:
    """Lines [start, end) of the base are these now."""

    start: int
    end: int
    lines: tuple[str, ...]


def hunks(base: Sequence[str], side: Sequence[str]) -> list[Hunk]:
    found, at, right = [], 0, 0
    for block in equal_blocks(base, side):
        if (block.left, block.right) != (at, right):
            found.append(Hunk(at, block.left, tuple(side[right : block.right])))
        at, right = block.left + block.size, block.right + block.size
    if at < len(base) or right < len(side):
        found.append(Hunk(at, len(base), tuple(side[right:])))
    return found


def patched(base: str, ours: str, theirs: str) -> str | None:
    """Both patches applied to the base; None when hunks of both touch and do not do the same."""
    lines = lines_of(base)
    sides = [hunks(lines, lines_of(text)) for text in (ours, theirs)]
    out: list[str] = []
    at = 0
    while any(sides):
        start = min(side[0].start for side in sides if side)
        end, taken = start, [list[Hunk](), list[Hunk]()]
        grown = True
        while grown:  # all hunks that touch what is taken so far
            grown = False
            for side, mine in zip(sides, taken, strict=True):
                while side and side[0].start <= end:
                    mine.append(side.pop(0))
                    end, grown = max(end, mine[-1].end), True
        versions = [region(lines, start, end, mine) for mine in taken]
        if taken[0] and taken[1] and versions[0] != versions[1]:
            return None
        out += lines[at:start] + versions[0 if taken[0] else 1]
        at = end
    return "".join(out + lines[at:])


def region(base: Sequence[str], start: int, end: int, found: Sequence[Hunk]) -> list[str]:
    out, at = [], start
    for hunk in found:
        out += [*base[at : hunk.start], *hunk.lines]
        at = hunk.end
    return out + list(base[at:end])


def git(folder: Path, base: str, ours: str, theirs: str) -> tuple[bool, str]:
    """Whether `git merge-file` finds it clean, and what it makes of it."""
    assert GIT is not None
    for name, text in (("base", base), ("ours", ours), ("theirs", theirs)):
        (folder / name).write_text(text)
    done = subprocess.run(
        [GIT, "merge-file", "-p", "-q", "ours", "base", "theirs"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout


@pytest.mark.skipif(GIT is None, reason="there is no git here")
@QUICK
@given(texts=three())
def test_a_merge_is_gits_where_every_line_is_there_once(texts: tuple[str, str, str], tmp_path: Path) -> None:
    clean, content = git(tmp_path, *texts)
    merged = merge(*texts)
    assert merged.clean == clean
    if clean:
        assert merged.content == content


@QUICK
@given(texts=st.one_of(three(), three(["a", "b"]), three(["a", "b", "c", "d"])))
def test_a_clean_merge_has_both_changes_and_a_conflict_is_where_both_meet(texts: tuple[str, str, str]) -> None:
    expected = patched(*texts)
    merged = merge(*texts)
    assert merged.clean == (expected is not None)
    if expected is not None:
        assert merged.content == expected


@QUICK
@given(texts=three(["a", "b", "c"]))
def test_a_merge_with_an_unchanged_side_is_the_other_side(texts: tuple[str, str, str]) -> None:
    base, ours, theirs = texts
    assert merge(base, ours, base) == Merged(ours, [])
    assert merge(base, base, theirs) == Merged(theirs, [])
    assert merge(base, ours, ours) == Merged(ours, [])


@QUICK
@given(texts=three(["a", "b", "c"]))
def test_a_merge_does_not_depend_on_whose_side_is_first(texts: tuple[str, str, str]) -> None:
    base, ours, theirs = texts
    one, other = merge(base, ours, theirs), merge(base, theirs, ours)
    assert one.clean == other.clean
    assert [(each.base, each.ours, each.theirs) for each in one.conflicts] == [
        (each.base, each.theirs, each.ours) for each in other.conflicts
    ]
    if one.clean:
        assert one.content == other.content


@QUICK
@given(texts=three(["a", "b", "c"]))
def test_nothing_that_a_side_wrote_is_missing_from_a_conflict(texts: tuple[str, str, str]) -> None:
    base, ours, theirs = texts
    merged = merge(base, ours, theirs, our_name="me", their_name="them")
    lines = merged.content.split("\n")
    for conflict in merged.conflicts:
        assert lines[conflict.line - 1] == "<<<<<<< me"
        shown = "\n".join(lines[conflict.line :])
        mine, _, rest = shown.partition("=======\n")
        their, _, _ = rest.partition(">>>>>>> them")
        assert mine.rstrip("\n") == conflict.ours.rstrip("\n")
        assert their.rstrip("\n") == conflict.theirs.rstrip("\n")


def test_a_conflict_shows_the_lines_that_differ_and_no_others() -> None:
    merged = merge("a\nb\nc\n", "a\nsame\nmine\nc\n", "a\nsame\nyours\nc\n", our_name="me", their_name="you")
    assert merged.content == "a\nsame\n<<<<<<< me\nmine\n=======\nyours\n>>>>>>> you\nc\n"
    [conflict] = merged.conflicts
    assert (conflict.line, conflict.base, conflict.ours, conflict.theirs) == (3, "b\n", "mine\n", "yours\n")


def test_texts_without_a_common_base_share_only_what_is_equal() -> None:
    assert merge("", "same\n", "same\n").clean
    merged = merge("", "one\n", "two\n")
    assert (merged.clean, merged.content) == (False, "<<<<<<< yours\none\n=======\ntwo\n>>>>>>> theirs\n")


def test_a_last_line_without_an_end_gets_a_marker_of_its_own_line() -> None:
    merged = merge("a", "b", "c")
    assert merged.content == "<<<<<<< yours\nb\n=======\nc\n>>>>>>> theirs\n"


def test_lines_end_with_a_newline_only() -> None:
    base = "a\rb\x0bc\u2028d\n\ne\n"
    assert merge(base, base.replace("e", "E"), base.replace("a\rb", "A\rb")).content == "A\rb\x0bc\u2028d\n\nE\n"


def test_a_page_of_a_hundred_thousand_lines_is_merged() -> None:
    lines = [f"line {number}\n" for number in range(100_000)]
    ours, theirs = [*lines[:10], "mine\n", *lines[10:]], [*lines[:90_000], "yours\n", *lines[90_001:]]
    merged = merge("".join(lines), "".join(ours), "".join(theirs))
    assert merged.clean
    assert merged.content == "".join([*lines[:10], "mine\n", *lines[10:90_000], "yours\n", *lines[90_001:]])
