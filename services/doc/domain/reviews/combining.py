"""What becomes of one document when two branches come together: its text, its path, and whether it is in the trash."""

from __future__ import annotations

from dataclasses import dataclass

from services.doc.domain.documents.merge import merge

MAX_LINES = 5
"""Of conflicts that are named."""


@dataclass(frozen=True, slots=True)
class Side:
    """A document on one branch."""

    path: str
    content: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Clash:
    """Why people have to decide, and what they can do."""

    why: str
    mend: str


def combine(base: Side, branch: Side, target: Side, names: tuple[str, str]) -> Side | Clash:
    """The document as it should be on the target. `names` are those of the branch and its target."""
    if branch.deleted or target.deleted:
        return _with_trash(base, branch, target, names)
    path = _path(base, branch, target)
    if path is None:
        return Clash(
            f"was renamed to {branch.path!r} on {names[0]!r} and to {target.path!r} on {names[1]!r}",
            f"rename it on {names[0]!r} to {target.path!r}, with the head of {names[1]!r} as merged_revision",
        )
    merged = merge(base.content, branch.content, target.content)
    if merged.clean:
        return Side(path, merged.content)
    lines = ", ".join(str(each.line) for each in merged.conflicts[:MAX_LINES])
    more = f" and {len(merged.conflicts) - MAX_LINES} more places" if len(merged.conflicts) > MAX_LINES else ""
    return Clash(
        f"was changed on both in the same lines (lines {lines}{more} of the merge)",
        f"merge {names[1]!r} into {names[0]!r} there: MergeDocument brings both texts together; decide where it says, "
        f"and save that on {names[0]!r} with the head of {names[1]!r} as merged_revision",
    )


def _with_trash(base: Side, branch: Side, target: Side, names: tuple[str, str]) -> Side | Clash:
    """A document that is in the trash on one of them may be so on both only if the other has left it as it was."""
    other = target if branch.deleted else branch
    if other.deleted or (other.path, other.content) == (base.path, base.content):
        return Side(target.path, target.content, deleted=True)
    if target.deleted:
        return Clash(
            f"was changed on {names[0]!r} and deleted on {names[1]!r}",
            f"restore it on {names[1]!r}, or delete it on {names[0]!r} too",
        )
    return Clash(
        f"was deleted on {names[0]!r} and changed on {names[1]!r}",
        f"restore it on {names[0]!r}, or delete it on {names[1]!r} too",
    )


def _path(base: Side, branch: Side, target: Side) -> str | None:
    if branch.path == base.path:
        return target.path
    return branch.path if target.path in (base.path, branch.path) else None
