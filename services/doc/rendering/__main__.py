"""`python -m services.doc.rendering`: one page, from JSON at its input to HTML at its output, within bounds."""

from __future__ import annotations

import json
import resource
import sys

from services.doc.domain.markdown.renderer import PageTooDeep
from services.doc.rendering.apart import TOO_DEEP
from services.doc.rendering.html import MarkdownRenderer

MEMORY = 3 * 1024**3
CPU_S = 60


def main() -> int:
    """The exit status."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    job = json.loads(sys.stdin.buffer.read())
    try:
        page = MarkdownRenderer().render(job["content"], resolve=job["links"].get)
    except PageTooDeep as error:
        sys.stdout.write(error.message)
        return TOO_DEEP
    sys.stdout.buffer.write(page.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
