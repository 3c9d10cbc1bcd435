"""A real headless browser, driven over the pipe of its DevTools protocol: for tests of pages."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

LIMIT_S = 30.0
NARROW = 600
"""A window below that is a telephone's."""
_MOST = 64 * 1024 * 1024
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root; the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


_BECOME = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3])
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser reads commands at 3 and writes answers at 4."""


class Tab:
    """A page in the browser. `dialogs` and `complaints` collect what it did that no good page does."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.dialogs: list[str] = []
        self.complaints: list[str] = []
        """Errors of scripts, and what a content security policy refused."""

    async def open(self, url: str) -> None:
        """Returns once the page and all that it needs at first are loaded."""
        loaded = self._browser.expect("Page.loadEventFired", self._session)
        answer = await self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise RuntimeError(f"{url}: {answer['errorText']}")
        await asyncio.wait_for(loaded, LIMIT_S)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise RuntimeError(str(told["exceptionDetails"].get("exception", {}).get("description")))
        return told["result"].get("value")

    async def until(self, script: str) -> Any:
        """The value of an expression as soon as it is true, looked at with every frame."""
        looking = f"""new Promise((done, fail) => {{
            const end = performance.now() + {LIMIT_S * 500};
            const look = () => {{
                const value = ({script});
                if (value) done(value);
                else if (performance.now() > end) fail(new Error("never: " + {json.dumps(script)}));
                else setTimeout(look, 16);
            }};
            look();
        }})"""
        return await self.run(looking)

    async def press(self, key: str, text: str = "") -> None:
        """A key: its name as in KeyboardEvent.key."""
        await self.call(
            "Input.dispatchKeyEvent",
            type="keyDown",
            key=key,
            text=text,
            code=key,
            windowsVirtualKeyCode=13 if key == "Enter" else 0,
        )
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    async def type(self, text: str) -> None:
        """Into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Of the window, and whether its system is dark."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < NARROW
        )
        scheme = "dark" if dark else "light"
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def picture(self, path: Path) -> None:
        """A PNG of what is to be seen."""
        told = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A method of the protocol."""
        return await self._browser.call(method, self._session, **parameters)

    def hear(self, event: str, told: dict[str, Any]) -> None:
        """For the browser."""
        if event == "Page.javascriptDialogOpening":
            self.dialogs.append(told["message"])
            self._browser.later(self.call("Page.handleJavaScriptDialog", accept=True))
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"].get("exception", {}).get("description")))
        elif event == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(told["entry"]["text"])


class Browser:
    """The process. Open it with `headless`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._expected: list[tuple[str, str, asyncio.Future[None]]] = []
        self._tabs: dict[str, Tab] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def tab(self) -> Tab:
        """A new page, of a profile of its own."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = (await self.call("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        return tab

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """A method of the protocol."""
        self._number += 1
        message = {
            "id": self._number,
            "method": method,
            "params": parameters,
            **({"sessionId": session} if session else {}),
        }
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps(message).encode() + b"\0")
        return await asyncio.wait_for(answer, LIMIT_S)

    def expect(self, event: str, session: str) -> asyncio.Future[None]:
        """Done once the event has come."""
        coming = asyncio.get_running_loop().create_future()
        self._expected.append((event, session, coming))
        return coming

    def later(self, work: Any) -> None:
        """Does not keep the reader waiting."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def listen(self) -> None:
        """Reads what the browser says, until it is gone."""
        with suppress(asyncio.IncompleteReadError):
            while True:
                self._hear(json.loads((await self._reader.readuntil(b"\0"))[:-1]))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the browser is gone"))

    def _hear(self, message: dict[str, Any]) -> None:
        if "id" in message:
            answer = self._answers.pop(message["id"])
            if answer.done():
                return
            if "error" in message:
                answer.set_exception(RuntimeError(message["error"]["message"]))
            else:
                answer.set_result(message["result"])
            return
        event, session = message["method"], message.get("sessionId", "")
        if session in self._tabs:
            self._tabs[session].hear(event, message["params"])
        for entry in [each for each in self._expected if each[:2] == (event, session)]:
            self._expected.remove(entry)
            if not entry[2].done():
                entry[2].set_result(None)


@asynccontextmanager
async def headless(binary: Path, *flags: str) -> AsyncGenerator[Browser]:
    """Chromium or Chrome with an empty profile; gone at the end."""
    profile = tempfile.mkdtemp(prefix="browser-")
    to_read, to_write = os.pipe(), os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _BECOME, str(to_read[0]), str(to_write[1]), str(binary), *_FLAGS,
        f"--user-data-dir={profile}", *flags,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        pass_fds=(to_read[0], to_write[1]), start_new_session=True,
    )  # fmt: skip
    os.close(to_read[0])
    os.close(to_write[1])
    closing: list[Callable[[], object]] = []
    try:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_MOST)
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(to_write[0], "rb")
        )
        closing.append(reading.close)
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(to_read[1], "wb")
        )
        closing.append(transport.close)
        browser = Browser(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        listening = asyncio.create_task(browser.listen())
        try:
            yield browser
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    finally:
        for close in closing:
            close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)
