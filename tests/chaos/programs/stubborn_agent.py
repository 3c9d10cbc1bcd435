"""An agent whose handler does not listen to being cancelled, so that it answers however late it is: `... NAME`."""

import asyncio
import sys
from contextlib import suppress

from automesh.sdk import Agent, LeasedTask, TaskContext, run

WORK_S = 4.0
agent = Agent(name=sys.argv[1], slots=1)


@agent.task("stubborn", description="Works for some seconds, whatever it is told meanwhile.")
async def stubborn(task: LeasedTask, context: TaskContext) -> dict[str, object]:
    clock = asyncio.get_running_loop().time
    end = clock() + WORK_S
    while clock() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)
    sys.stderr.write(f"finished attempt {context.attempt} of {task.task_id}\n")
    return {"by": agent.name, "attempt": context.attempt}


run(agent)
