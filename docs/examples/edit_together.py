"""Writes lines into a document while others write in it, and says when they are kept."""

# On the machine of a local stack:
#   automesh cert issue --client notes        opens the connection
#   automesh key create notes                 prints a key that says who calls: export AUTOMESH_API_KEY=...
#   python docs/examples/edit_together.py doc_01j... "a line" "and another"

import asyncio
import sys

from automesh.sdk.connect import connect
from automesh.sdk.connection import Connection
from automesh.sdk.editing import Editor, SaveState


def show(editor: Editor) -> None:
    """What an editor must never hide from people."""
    if editor.state is SaveState.NOT_SAVED:
        print(f"not saved: {editor.trouble}", file=sys.stderr)


async def write(connection: Connection, document_id: str, lines: list[str]) -> str:
    async with Editor(connection, document_id, on_change=show) as editor:
        for line in lines:
            editor.insert(len(editor.text), f"{line}\n")
        await editor.settled()  # durable, and seen by the others
        return await editor.save("notes")  # a revision, like that of any other write


async def main() -> None:
    async with connect() as connection:
        print(await write(connection, sys.argv[1], sys.argv[2:]))


if __name__ == "__main__":
    asyncio.run(main())
