"""A program of somebody's own that uses the SDK: `sdk_client.py FOLDER [TASK_ID]`. Prints what it saw as JSON.

With a task id it downloads the task's artifacts to the folder, without one it sees a task through.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from automesh.core.errors import AutomationError
from automesh.orchestrator.v1 import task_pb2
from automesh.sdk import Client, connect


async def see_through(client: Client) -> dict[str, Any]:
    created = await client.create_task("noop", {"sleep_s": 0.3, "result": "by sdk"}, request_id="sdk-once")
    again = await client.create_task("noop", {"sleep_s": 0.3, "result": "by sdk"}, request_id="sdk-once")
    assert created.task_id == again.task_id
    seen = [message.task.status async for message in client.watch_task(created.task_id)]
    task = await client.get_task(created.task_id)
    return {
        "task_id": task.task_id,
        "status": task_pb2.TaskStatus.Name(task.status),
        "statuses_seen": [task_pb2.TaskStatus.Name(status) for status in seen],
        "result": MessageToDict(task.result),
        "refused": await refused(client),
        "listed": task.task_id in [each.task_id async for each in client.list_tasks(status=["COMPLETED"])],
    }


async def refused(client: Client) -> str:
    try:
        await client.create_task("none.such")
    except AutomationError as error:
        return error.reason
    return ""


async def main(folder: str, *task_id: str) -> None:
    async with connect() as connection:
        client = Client(connection)
        if task_id:
            told: object = [str(path) for path in await client.download(task_id[0], Path(folder))]
        else:
            told = await see_through(client)
    sys.stdout.write(json.dumps(told) + "\n")


asyncio.run(main(*sys.argv[1:]))
