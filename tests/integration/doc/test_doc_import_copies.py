"""Copies of a space that went different ways: who brings theirs later overwrites nobody, and takes nothing back."""

from __future__ import annotations

import hashlib
import json

from tests.integration.doc.doc_house import Served
from tests.integration.doc.doc_house_transfer import Files, Transfers, problems, unzipped

ONE = "one\n\ntwo\n\nthree\n"
PNG = "\x89PNG\r\n\x1a\n"


def copied(files: Files, made_from: Files) -> dict[str, bytes | str]:
    """An archive that says what its files were made from, as exports and `automesh doc push` do."""
    hashes = {path: hashlib.sha256(_bytes(body)).hexdigest() for path, body in made_from.items()}
    return {**files, ".automesh-export.json": json.dumps({"documents": hashes})}


async def test_two_copies_that_were_changed_in_different_places_are_brought_together(handbook: Served) -> None:
    ann, ben = Transfers(handbook), Transfers(handbook, "ben")
    await ann.done({"a.md": ONE})
    await ben.done(copied({"a.md": "one\n\ntwo\n\nTHREE\n"}, {"a.md": ONE}))
    job = await ann.done(copied({"a.md": "ONE\n\ntwo\n\nthree\n"}, {"a.md": ONE}))
    assert job.tally.updated == 1, problems(job)
    assert await ann.text("a.md") == "ONE\n\ntwo\n\nTHREE\n"


async def test_two_copies_that_were_changed_in_the_same_line_need_a_decision(handbook: Served) -> None:
    ann, ben = Transfers(handbook), Transfers(handbook, "ben")
    await ann.done({"a.md": ONE})
    await ben.done(copied({"a.md": "ben\n\ntwo\n\nthree\n"}, {"a.md": ONE}))
    job = await ann.done(copied({"a.md": "ann\n\ntwo\n\nthree\n"}, {"a.md": ONE}))
    assert "changed here by ben" in problems(job)["a.md"]
    assert await ann.text("a.md") == "ben\n\ntwo\n\nthree\n"


async def test_a_copy_that_was_not_changed_takes_back_nothing_that_others_brought(handbook: Served) -> None:
    ann, ben = Transfers(handbook), Transfers(handbook, "ben")
    old: Files = {"a.md": ONE, "logo.png": PNG + "1"}
    await ann.done(old)
    await ben.done(copied({"a.md": "new\n", "logo.png": PNG + "2"}, old))
    job = await ann.done(copied(old, old))
    assert job.tally.unchanged == 2, problems(job)
    assert await ann.text("a.md") == "new\n"
    assert unzipped(await ann.export())["logo.png"] == _bytes(PNG + "2")


async def test_a_picture_that_both_have_changed_is_told_of(handbook: Served) -> None:
    ann, ben = Transfers(handbook), Transfers(handbook, "ben")
    old: Files = {"logo.png": PNG + "1"}
    await ann.done(old)
    await ben.done(copied({"logo.png": PNG + "2"}, old))
    job = await ann.done(copied({"logo.png": PNG + "3"}, old))
    assert "by ben" in problems(job)["logo.png"]
    assert unzipped(await ann.export())["logo.png"] == _bytes(PNG + "2")


async def test_what_is_no_hash_says_nothing_and_harms_nothing(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done({"a.md": ONE, "b.md": ONE})
    manifest = json.dumps({"documents": {"a.md": "\0", "b.md": "\ud800", "c.md": "", "../d.md": "x", "\0": "y"}})
    job = await ann.done({"a.md": "new\n", "b.md": "new\n", ".automesh-export.json": manifest})
    assert job.tally.updated == 2, problems(job)


async def test_a_space_follows_the_exports_of_another(handbook: Served) -> None:
    ann = Transfers(handbook)
    document = await handbook.write("a.md", ONE)
    await handbook.space("copy")
    await ann.done(await ann.export(), space="copy")
    await handbook.edit(document, "two\n")
    job = await ann.done(await ann.export(), space="copy")
    assert job.tally.updated == 1, problems(job)
    assert unzipped(await ann.export(space="copy"))["a.md"] == b"two\n"


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body
