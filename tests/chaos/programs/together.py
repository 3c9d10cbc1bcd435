"""Writes numbered lines into a document as fast as they are kept: `together.py DOCUMENT NAME`.

Prints each number once it is durable; a line on its standard input makes it save, print the revision, and end.
"""

import asyncio
import sys

from automesh.sdk import connect
from automesh.sdk.editing import Editor


async def main(document_id: str, name: str) -> None:
    async with connect() as connection, Editor(connection, document_id) as editor:
        end = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        number = 0
        while not end.done():
            number += 1
            editor.insert(len(editor.text), f"{name} {number}\n")
            await editor.settled(timeout_s=120)
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
        sys.stdout.write(f"{await editor.save(timeout_s=120)}\n")


asyncio.run(main(*sys.argv[1:]))
