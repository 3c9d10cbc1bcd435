"""Links of a text against what is there: a link is broken if, and only if, its target is missing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.doc.domain.documents.path import relative
from services.doc.domain.documents.text import read
from services.doc.domain.markdown.outline import Link
from services.doc.domain.spaces.space import Level, Rules, Space
from services.doc.domain.validation.checks import Finding
from services.doc.domain.validation.page_checks import MAX_PER_RULE, PageChecks
from services.doc.fakes.validation import FakeLinkTargets

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PATHS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(lambda parts: "/".join(parts) + ".md")
ANCHORS = st.sampled_from(["", "one", "two"])


def space(**levels: Level) -> Space:
    return Space(
        space="handbook", tenant_id="t", edition=1, created_by="ann", created_at=NOW, updated_at=NOW,
        rules=Rules(levels={name.replace("_", "-"): level for name, level in levels.items()}),
    )  # fmt: skip


def broken(targets: FakeLinkTargets, content: str, path: str, **levels: Level) -> list[Finding]:
    text = read(content, path, max_bytes=10_000_000)
    found = asyncio.run(PageChecks(targets).findings(space(**levels), "main", path, text))
    return [each for each in found if each.rule in {"broken-link", "broken-anchor"}]


@given(st.sets(PATHS), PATHS, PATHS, ANCHORS, st.booleans())
def test_a_link_is_broken_if_and_only_if_its_target_is_missing(
    there: set[str], source: str, target: str, anchor: str, from_the_top: bool
) -> None:
    targets = FakeLinkTargets(documents=dict.fromkeys(there, frozenset({"one"})))
    way = f"/{target}" if from_the_top else relative(target, source)
    fragment = f"#{anchor}" if anchor else ""
    found = [each.rule for each in broken(targets, f"# One\n\n[x]({way}{fragment})\n", source)]
    if target != source and target not in there:
        assert found == ["broken-link"]
    else:
        assert found == (["broken-anchor"] if anchor == "two" else [])


def test_an_attachment_or_an_earlier_path_is_a_target() -> None:
    targets = FakeLinkTargets(
        documents={"a.md": frozenset({"one"})}, moved={"old.md": "a.md"}, attachments={"img/Chart.png"}
    )
    content = "![c](img/chart.png) [o](old.md#one)\n[p](old.md#two) ![d](img/none.png)\n"
    assert [(each.rule, each.line) for each in broken(targets, content, "new.md")] == [
        ("broken-anchor", 2),
        ("broken-link", 2),
    ]


def test_a_rule_that_is_off_is_not_asked() -> None:
    content = "# A\n\n[x](gone.md) [y](#gone)\n"
    found = broken(FakeLinkTargets(), content, "a.md", broken_link=Level.OFF, broken_anchor=Level.REFUSE)
    assert [(each.rule, each.level) for each in found] == [("broken-anchor", Level.REFUSE)]


def test_a_page_with_very_many_findings_tells_the_first_and_that_there_are_more() -> None:
    content = "\n".join(f"[x](gone{number}.md)" for number in range(5_000))
    found = broken(FakeLinkTargets(), content, "a.md")
    assert [each.line for each in found[:MAX_PER_RULE]] == list(range(1, MAX_PER_RULE + 1))
    assert len(found) == MAX_PER_RULE + 1
    assert "there are more" in found[-1].message


class Watched(list[Link]):
    """Links that remember in which threads they were looked at."""

    def __init__(self, links: Iterable[Link]) -> None:
        super().__init__(links)
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[Link]:
        self.threads.add(threading.get_ident())
        return super().__iter__()


async def test_the_links_of_a_large_page_are_looked_at_beside_the_event_loop() -> None:
    text = read("".join(f"[x](gone{number}.md)\n" for number in range(2_000)), "a.md", max_bytes=100_000)
    links = Watched(text.outline.links)
    watched = replace(text, outline=replace(text.outline, links=links))
    found = await PageChecks(FakeLinkTargets()).findings(space(), "main", "a.md", watched)
    assert [each.rule for each in found].count("broken-link") == MAX_PER_RULE + 1
    assert links.threads
    assert threading.get_ident() not in links.threads
