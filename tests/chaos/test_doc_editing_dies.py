"""The doc service killed while people edit together: what was acknowledged is there, once, and they simply go on."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from automesh.testing.live import LIMIT_S, LiveStack
from automesh.testing.people import Person, newcomer

PROGRAM = Path(__file__).parent / "programs" / "together.py"
WAVES, LINES = 3, 15
Editing = subprocess.Popen[str]


@pytest.fixture
def writer(live: LiveStack, admin: Person, request: pytest.FixtureRequest) -> Iterator[Person]:
    """Somebody who may make spaces, alone in a tenant of their own."""
    number = request.session.items.index(request.node)
    with newcomer(live, admin, f"together-{number}", "admin", tenant=f"together-{number}") as person:
        person.done("POST", "/spaces", json={"space": "together"})
        yield person


@pytest.fixture
def environment(live: LiveStack, writer: Person, tmp_path: Path) -> dict[str, str]:
    """Of a program that is somebody's own."""
    folder = tmp_path / "client"
    live.command("cert", "issue", "--client", "together", "--out", str(folder))
    key = writer.done("POST", "/apikeys", json={"apiKey": {"name": "together"}})["secret"]
    return live.environment(AUTOMESH_API_KEY=key, AUTOMESH_IDENTITY_DIR=str(folder))


def numbers(editing: Editing, count: int) -> int:
    """The next ones that it says are durable; the last of them."""
    assert editing.stdout is not None
    last = ""
    for _ in range(count):
        last = editing.stdout.readline().strip()
        assert last.isdecimal(), last
    return int(last)


def test_editors_go_on_through_kills_of_the_service_and_nothing_is_lost(
    live: LiveStack, writer: Person, environment: dict[str, str]
) -> None:
    made = writer.done("POST", "/docs", json={"space": "together", "path": "notes.md", "content": "# Notes\n\n"})
    document_id = made.get("document", made)["documentId"]
    names = ("ann", "bob")
    editors = [
        subprocess.Popen(
            [sys.executable, PROGRAM, document_id, name],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in names
    ]  # fmt: skip
    try:
        for _ in range(WAVES):
            for editor in editors:
                numbers(editor, LINES)
            live.until_replaced("doc", live.kill("doc"))
        lasts = [numbers(editor, LINES) for editor in editors]
        ends = [editor.communicate("\n", timeout=LIMIT_S)[0].split() for editor in editors]
    finally:
        for editor in editors:
            editor.kill()
            editor.wait()

    content = writer.done("GET", f"/docs/{document_id}")["content"]
    for name, last, end in zip(names, lasts, ends, strict=True):
        *more, revision = end
        assert revision.startswith("rev_")
        count = int(more[-1]) if more else last
        lines = [line for line in content.splitlines() if line.startswith(f"{name} ")]
        assert lines == [f"{name} {number}" for number in range(1, count + 1)]
