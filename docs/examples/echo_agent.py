"""An agent in thirty lines: it says again what it is given, word by word."""

# On the machine of a local stack:
#   automesh cert issue --client echo         opens the connection
#   automesh key create echo                  prints a key that says who calls: export AUTOMESH_API_KEY=...
#   python docs/examples/echo_agent.py
#   automesh task submit echo -i text="hello, mesh" --watch

import asyncio

from automesh.sdk import Agent, LeasedTask, PermanentError, TaskContext, run

agent = Agent(name="echo", slots=4)


@agent.task("echo", description='Says {"text": ...} again, one word every tenth of a second.')
async def echo(task: LeasedTask, context: TaskContext) -> dict[str, object]:
    text = task.input.get("text")
    if not isinstance(text, str) or not text.strip():
        raise PermanentError("TEXT_MISSING", 'give the text to say: {"text": "hello"}')
    words = text.split()
    for count, word in enumerate(words, start=1):
        context.log(word)
        context.progress(count / len(words), f"said {count} of {len(words)} words")
        await asyncio.sleep(0.1)
    await context.upload("echo.txt", text.encode(), "text/plain")
    return {"text": text, "words": len(words), "attempt": context.attempt}


if __name__ == "__main__":
    run(agent)
