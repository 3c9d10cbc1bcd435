"""Which paths an archive or a git repository can have beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.doc.domain.documents.path import key

_GIT_KEEPS = frozenset({".git", "git~1"})
"""Names of git's own folder, the second as old Windows programs see it: git refuses a repository that has them."""


def left_out(paths: Iterable[str]) -> Mapping[str, str]:
    """Of the paths, those that cannot go out, and what to do about each."""
    all_paths = list(paths)
    files = {key(path): path for path in all_paths}
    found: dict[str, str] = {}
    for path in all_paths:
        parts = key(path).split("/")
        if _GIT_KEEPS.intersection(parts):
            found[path] = "is not in the file: git keeps such a name for itself; rename it"
            continue
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        taken = next((files[each] for each in above if each in files), "")
        if taken:
            found[path] = f"is not in the file: {taken!r} is a file, and cannot be a folder as well; rename one of them"
    return found
