"""What turns a document into HTML that is safe to show, as a port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from automesh.core.errors import ValidationError

Resolve = Callable[[str], str | None]
"""Where a relative link, as it is written, leads: an address to put in its place, already quoted; None: nowhere.

It is not asked about links into the same document (`#x`) nor about those with a scheme of their own.
"""


class PageTooDeep(ValidationError):
    """The text nests more deeply, or repeats more, than any page that people read."""

    reason = "PAGE_TOO_DEEP"


class Renderer(Protocol):
    """Markdown to HTML. Takes CPU time in proportion to the text: call it in a thread."""

    def render(self, content: str, *, resolve: Resolve) -> str:
        """A fragment without anything that can run or that loads by itself from elsewhere. Raises PageTooDeep.

        Headings have the anchors that `outline` gives them. A link that leads nowhere keeps its text
        and loses its address.
        """
        ...


def nowhere(target: str) -> str | None:
    """A Resolve that knows no document."""
    return None
