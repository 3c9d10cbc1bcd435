"""Search as people use it, on the index of a replica."""

from __future__ import annotations

from tests.integration.doc.doc_house import Served
from tests.integration.doc.doc_house_search import caught_up, paths, search


async def test_a_document_is_found_by_its_words_with_its_section_and_marks(handbook: Served) -> None:
    await handbook.write(
        "deploy.md", "# Deployment\n\nIntro.\n\n## Rolling back\n\nCall `rollback_release` to go back.\n"
    )
    await handbook.write("other.md", "# Other\n\nNothing of that.\n")
    await caught_up(handbook)

    (result,) = (await search(handbook, "rollback")).results

    assert (result.path, result.title, result.section, result.anchor) == (
        "deploy.md", "Deployment", "Rolling back", "rolling-back",
    )  # fmt: skip
    assert [result.snippet[mark.start : mark.end] for mark in result.marks] == ["rollback_release"]
    assert result.score > 0
    assert result.update_time.seconds > 0


async def test_a_mistyped_word_is_corrected_and_told(handbook: Served) -> None:
    await handbook.write("deploy.md", "# Deployment\n\nHow configuration works.\n")
    await caught_up(handbook)

    found = await search(handbook, "confgiuration")

    assert [each.path for each in found.results] == ["deploy.md"]
    assert dict(found.corrections) == {"confgiuration": "configuration"}


async def test_what_is_written_over_is_found_by_its_new_words_only(handbook: Served) -> None:
    written = await handbook.write("a.md", "# A\n\nzebra\n")
    await handbook.edit(written, "# A\n\ngiraffe\n")
    await caught_up(handbook)

    assert await paths(handbook, "giraffe") == ["a.md"]
    assert await paths(handbook, "zebra") == []
