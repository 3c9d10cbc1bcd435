"""The part of `automesh demo` that shows documentation: the project's own docs, published and searched."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.doc_files import LocalFiles
from automesh.cli.doc_jobs import DONE, follow_job, show_problems, tally_text
from automesh.cli.doc_places import space_path
from automesh.cli.doc_push import TAR_GZ, pack, send_archive
from automesh.cli.doc_search import section_of, snippet
from automesh.cli.doc_site import FAILED, built
from automesh.cli.doc_spaces import ensure_space
from automesh.cli.errors import CliError
from automesh.cli.output import console, literal, table
from automesh.local.consul import CHECKOUT

SPACE = "automesh"
DOCS = CHECKOUT / "docs"
QUERIES = ("what happens when an agent dies", "AUTOMESH_GATEWAY_PORT", "promot a modle", '"row-level security"')
"""A question, an identifier, two words that are typed wrong, and a phrase."""
INDEX_LIMIT_S = 20.0
_SNIPPET = 70
Pause = Callable[[float], None]


def show_documentation(api: Api, *, pause: Pause = time.sleep) -> None:
    """Raises CliError when the docs cannot be published, or cannot be found."""
    console.rule("[bold]4 the docs of automesh: imported, checked, published, searched")
    if not DOCS.is_dir():
        console.print("The docs come with a checkout; this installation has none.", style="dim")
        return
    ensure_space(api, SPACE, "automesh")
    _import(api)
    _check(api)
    address = _publish(api)
    _search(api, pause)
    console.print(Text.assemble("\nThe site, while the stack runs: ", literal(address, "bold")), soft_wrap=True)


@contextmanager
def _timed(what: str) -> Iterator[list[Text]]:
    """A line with the seconds that it took; the caller adds what came of it."""
    said: list[Text] = []
    started = time.monotonic()
    yield said
    console.print(Text.assemble(f"{what:10}", literal(f"{time.monotonic() - started:5.1f} s  ", "dim"), *said))


def _import(api: Api) -> None:
    with _timed("imported") as said, tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "docs.tar.gz"
        count = len(pack(LocalFiles.of(DOCS).files, archive, quiet=True))
        begun = send_archive(api, archive, space=SPACE, content_type=TAR_GZ, message="demo", quiet=True)
        job = follow_job(api, begun)
        said.append(Text.assemble(f"{count} files: ", tally_text(job.get("tally", {}))))
    show_problems(job.get("problems", []))
    if job.get("state") != DONE:
        raise CliError(f"the docs cannot be imported: {job.get('failure', '')}", next_step="Look: automesh logs doc")


def _check(api: Api) -> None:
    with _timed("checked") as said:
        findings = api.every(f"{space_path(SPACE)}/findings", "findings")
        rules = Counter(each["rule"] for each in findings)
        named = ", ".join(f"{count} {rule}" for rule, count in rules.most_common(4))
        said.append(literal(f"{len(findings)} findings" + (f": {named}" if named else "")))


def _publish(api: Api) -> str:
    path = f"{space_path(SPACE)}/site"
    site = api.get(path)
    if not site.get("public"):
        api.put(path, {**site, "public": True})  # its listener is on this machine's loopback
    with _timed("published") as said:
        release = built(api, SPACE, {"message": "demo"})
        said.append(literal(f"{release.get('pages', 0)} pages, {release.get('files', 0)} files"))
    if release.get("state") == FAILED:
        raise CliError(f"the docs cannot be published: {release.get('failure', '')}")
    address = str(release.get("url", ""))
    _read(address)
    return address


def _read(address: str) -> None:
    """As a reader who only has the address."""
    try:
        answer = httpx.get(address, follow_redirects=True, timeout=10)
    except httpx.HTTPError as error:
        raise CliError(f"nobody answers at {address}: {error}", next_step="Look: automesh logs doc") from error
    if answer.is_error:
        raise CliError(f"{address} answers {answer.status_code}", next_step="Look: automesh logs doc")


def _search(api: Api, pause: Pause) -> None:
    _wait_for_index(api, pause)
    rows: list[list[str | Text]] = []
    for query in QUERIES:
        started = time.perf_counter()
        answer = api.get("/docs:search", query=query, space=SPACE, pageSize=1)
        took = f"{(time.perf_counter() - started) * 1000:.0f} ms"
        rows.append([query, took, *_best(answer)])
    console.print(table(["SEARCHED FOR", "TOOK", "FOUND", ""], rows))
    if not any(row[2] for row in rows):
        raise CliError("no search found anything", next_step="Look: automesh logs doc")


def _best(answer: Json) -> list[str | Text]:
    results = answer.get("results", [])
    if not results:
        return ["", "nothing"]
    best = results[0]
    shown = snippet(best)
    shown.truncate(_SNIPPET, overflow="ellipsis")
    return [literal(f"{best.get('title', '')}{section_of(best)}"), shown]


def _wait_for_index(api: Api, pause: Pause) -> None:
    """What was imported a moment ago shall be found."""
    deadline = time.monotonic() + INDEX_LIMIT_S
    while time.monotonic() < deadline:
        status = api.get("/docs:indexStatus")
        if int(status.get("sequence", 0)) >= int(status.get("latestSequence", 0)) and not status.get("rebuilding"):
            return
        pause(0.1)
