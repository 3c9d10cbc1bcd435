"""Whole trees out and in again: documents, links, attachments and histories are what they were."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import transfer_service_pb2 as pb
from tests.integration.doc.doc_house import Served
from tests.integration.doc.doc_house_transfer import Backups, Files, Transfers, problems, unzipped

LINKS = """
SELECT h.path, l.target, l.anchor, l.picture, EXISTS (
    SELECT FROM head t WHERE t.tenant_id = l.tenant_id AND t.space = l.space AND t.branch = l.branch
       AND t.path_key = l.target_key AND t.deleted_at IS NULL) OR EXISTS (
    SELECT FROM attachment a WHERE a.tenant_id = l.tenant_id AND a.space = l.space AND a.branch = l.branch
       AND a.path_key = l.target_key) AS leads_somewhere
  FROM link l JOIN head h USING (document_id, branch) WHERE l.space = $1 AND l.branch = 'main' ORDER BY 1, 2, 3, 4
"""
FOLDERS = ("", "guides/", "guides/deep/er/", "Ünïcode/", "with space/", "reference/")


def tree(count: int, seed: int) -> Files:
    """Pages in folders with links to each other, relative and from the top, to headings, and to pictures."""
    chance = random.Random(seed)
    paths = [f"{FOLDERS[at % len(FOLDERS)]}page{at}.md" for at in range(count)]
    pictures = [f"{FOLDERS[at % len(FOLDERS)]}img/p{at}.png" for at in range(max(count // 20, 1))]
    files: dict[str, bytes | str] = {path: b"\x89PNG\r\n\x1a\n" + chance.randbytes(500) for path in pictures}
    for at, path in enumerate(paths):
        up = "../" * path.count("/")
        lines = [f"# Page {at}", "", f"words {chance.random()}", "", "## A part", ""]
        for other in chance.sample(paths, k=min(4, count)):
            target = other.replace(" ", "%20")
            lines.append(
                chance.choice([f"[x]({up}{target})", f"[x](/{target}#a-part)", f"[x]({up}{target}?a=b#a-part)"])
            )
        lines.append(f"![p]({up}{chance.choice(pictures).replace(' ', '%20')})")
        lines.append(chance.choice(["[out](https://example.org/)", "[gone](nowhere.md)", "", "\r", "no end"]))
        files[path] = "\n".join(lines)
    return files


async def links(served: Served, space: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in await served.database.fetch(LINKS, space, tenant="default")]


async def round_trip(served: Served, files: Files) -> None:
    ann = Transfers(served)
    job = await ann.done(files)
    assert not problems(job)
    ours = await links(served, "handbook")
    assert sum(bool(each[-1]) for each in ours) > len(files)
    as_bytes = {path: body.encode() if isinstance(body, str) else body for path, body in files.items()}
    for number, format in enumerate((pb.ARCHIVE_FORMAT_ZIP, pb.ARCHIVE_FORMAT_TAR_GZ, pb.ARCHIVE_FORMAT_GIT_BUNDLE)):
        space = f"copy{number}"
        await served.space(space)
        await ann.done(await ann.export(format=format), space=space)
        assert await links(served, space) == ours
        assert unzipped(await ann.export(space=space)) == as_bytes


async def test_every_link_of_a_tree_leads_where_it_led_after_a_round_trip(handbook: Served) -> None:
    await round_trip(handbook, tree(60, seed=1))


@pytest.mark.slow
async def test_every_link_of_thousands_of_files_leads_where_it_led(handbook: Served) -> None:
    await round_trip(handbook, tree(2000, seed=2))


@pytest.mark.slow
async def test_a_history_full_of_deltas_comes_in_and_goes_out_as_it_was(handbook: Served, tmp_path: Path) -> None:
    chance = random.Random(3)
    lines = [f"line {at} {chance.random()}" for at in range(800)]
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    for turn in range(30):
        lines[chance.randrange(len(lines))] = f"changed in turn {turn}"
        (repository / "big.md").write_text("\n".join(lines))
        (repository / f"page{turn % 7}.md").write_text(f"# {turn}\n" + "\n".join(lines[:50]))
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", f"turn {turn}")
    ann = Transfers(handbook)
    for number, settings in enumerate(((), ("-c", "repack.useDeltaBaseOffset=false"))):
        git(repository, *settings, "repack", "-q", "-a", "-d", "-f", "--depth=40")
        git(repository, *settings, "bundle", "create", "-q", str(tmp_path / "out.bundle"), "--all")
        bundle = (tmp_path / "out.bundle").read_bytes()
        assert len(bundle) < 200_000  # deltas
        space = f"git{number}"
        await handbook.space(space)
        job = await ann.done(bundle, space=space)
        assert (job.done, job.tally.created, job.tally.updated) == (30, 8, 60 - 8)
        paths = await ann.paths(space)
        document = await handbook.read(paths["big.md"])
        assert document.content == "\n".join(lines)
        found = await (await handbook.documents()).ListRevisions(
            doc_pb.ListRevisionsRequest(document_id=paths["big.md"], page_size=100)
        )
        assert [each.message.splitlines()[0] for each in found.revisions] == [f"turn {at}" for at in range(29, -1, -1)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_was_done_to_a_space_comes_back_from_its_backup(handbook: Served, seed: int) -> None:
    ann, chance = Transfers(handbook), random.Random(seed)
    await ann.done(tree(20, seed))
    stub = await handbook.documents()
    for _ in range(25):
        document_id = chance.choice(sorted((await ann.paths()).values()))
        document = await handbook.read(document_id)
        what = chance.choice(["edit", "move", "delete", "create"])
        if what == "edit":
            await handbook.edit(
                document, f"{document.content}\nmore {chance.random()}\n", user=chance.choice(["ann", "ben"])
            )
        elif what == "move":
            await handbook.edit(document, document.content, path=f"moved/{chance.randrange(10**9)}.md")
        elif what == "delete":
            await stub.DeleteDocument(
                doc_pb.DeleteDocumentRequest(document_id=document_id, expected_head=document.head)
            )
        else:
            await handbook.write(f"new/{chance.randrange(10**9)}.md", f"# {chance.random()}\n")
    backups = Backups(handbook)
    made = await backups.make()
    before = unzipped(await ann.export())
    spaces = await handbook.spaces()
    from automesh.doc.v1 import space_service_pb2 as space_pb

    await spaces.DeleteSpace(space_pb.DeleteSpaceRequest(space="handbook", force=True, reason="to bring it back"))
    await backups.restored(made.backup_id)
    again = await backups.make(full=True)
    assert again.digest == made.digest
    assert unzipped(await ann.export()) == before


def git(folder: Path, *arguments: str) -> None:
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "c", "GIT_COMMITTER_EMAIL": "c@example.org",
    }  # fmt: skip
    subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, check=True)
