"""Whether libraries are there that programs of other services need. None is imported: some take seconds, and a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec


def missing(names: Iterable[str], *, extra: str) -> str:
    """Which of these top-level packages are not installed, and how to mend it; empty when all are there."""
    absent = [name for name in names if find_spec(name) is None]
    if not absent:
        return ""
    return f"not installed: {', '.join(absent)}; run `pip install 'automesh[{extra}]'` and start the agent again"
