"""Link targets in memory, and a space without rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.doc.domain.documents.path import key
from services.doc.domain.documents.text import Text
from services.doc.domain.spaces.space import Space
from services.doc.domain.validation.checks import Finding
from services.doc.domain.validation.targets import Found, folders, own_keys


class NoChecks:
    """A services.doc.domain.validation.checks.Checks that finds nothing."""

    async def findings(self, space: Space, branch: str, path: str, text: Text) -> Sequence[Finding]:
        """None."""
        return ()


@dataclass
class FakeLinkTargets:
    """A services.doc.domain.validation.targets.LinkTargets of one branch."""

    documents: dict[str, frozenset[str]] = field(default_factory=dict)
    """Anchors by path."""
    moved: dict[str, str] = field(default_factory=dict)
    """Where a document is that was at a path."""
    attachments: set[str] = field(default_factory=set)

    async def look_up(self, _: str, __: str, ___: str, keys: Collection[str], anchored: Collection[str]) -> Found:
        by_key = {key(old): self.documents[new] for old, new in self.moved.items() if new in self.documents}
        for path, anchors in self.documents.items():
            for name in own_keys(path):
                by_key[name] = anchors
        there = by_key.keys() | {folder for path in self.documents for folder in folders(path)}
        there |= {key(path) for path in self.attachments}
        return Found(
            missing=frozenset(each for each in keys if each not in there),
            anchors={each: by_key[each] for each in anchored if each in by_key},
        )

    async def named(self, _: str, __: str, ___: str, names: Collection[str]) -> Mapping[str, str]:
        return {name: path for path in self.documents if (name := key(path).rpartition("/")[2]) in names}
