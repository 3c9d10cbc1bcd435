"""Long pages are rendered in a process of their own, so that nothing else waits for them, and none takes for ever."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

from services.doc.domain.markdown.outline import outline
from services.doc.domain.markdown.renderer import PageTooDeep, Resolve
from services.doc.rendering.html import MarkdownRenderer

PROGRAM = "services.doc.rendering"
LONG = 128 * 1024
"""Characters; shorter pages take some milliseconds here."""
LIMIT_S = 20.0
AT_ONCE = 2
TOO_DEEP = 3
"""The program's exit status when it has said why it refuses."""


class BoundedRenderer:
    """A services.doc.domain.markdown.renderer.Renderer for a process that has more to do. Call it in a thread."""

    def __init__(self, *, long: int = LONG, limit_s: float = LIMIT_S, python: str = sys.executable) -> None:
        self._here, self._long, self._limit_s, self._python = MarkdownRenderer(), long, limit_s, python
        self._slots = threading.Semaphore(AT_ONCE)

    def render(self, content: str, *, resolve: Resolve) -> str:
        """See the port. In a long page only links that the outline knows lead somewhere."""
        if len(content) <= self._long:
            return self._here.render(content, resolve=resolve)
        targets = {link.target for link in outline(content).links}
        job = json.dumps({"content": content, "links": {target: resolve(target) for target in targets}})
        with self._slots:
            return self._run(job)

    def _run(self, job: str) -> str:
        try:
            done = subprocess.run(
                [self._python, "-m", PROGRAM],
                input=job.encode("utf-8", "surrogatepass"),
                capture_output=True,
                timeout=self._limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PageTooDeep(
                f"showing this page would take more than {self._limit_s:g} s: divide it", field="content"
            ) from None
        if done.returncode == TOO_DEEP:
            raise PageTooDeep(done.stdout.decode(), field="content")
        if done.returncode != 0:
            raise PageTooDeep("showing this page takes more memory than there is for one: divide it", field="content")
        return done.stdout.decode()
