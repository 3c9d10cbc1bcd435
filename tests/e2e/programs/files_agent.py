"""An agent that leaves files behind: one of `bytes` pseudo-random bytes, small ones with the given `names`."""

import random

from automesh.sdk import Agent, LeasedTask, TaskContext, run

agent = Agent(name="files", slots=2)


@agent.task("files", description="Leaves files behind.")
async def files(task: LeasedTask, context: TaskContext) -> dict[str, object]:
    size = int(task.input.get("bytes", 0))
    if size:
        await context.upload("big.bin", random.Random(size).randbytes(size), "application/octet-stream")
    for name in task.input.get("names", []):
        await context.upload(name, name.encode(), "text/plain; charset=utf-8")
    return {}


run(agent)
