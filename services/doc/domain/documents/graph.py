"""How the revisions of a document hang together: parents have smaller numbers, so walks go by falling number."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A revision in the graph."""

    revision_id: str
    number: int
    parents: Sequence[str]


class Graph:
    """Of one document."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes: Mapping[str, Node] = {node.revision_id: node for node in nodes}

    def __contains__(self, revision_id: str) -> bool:
        return revision_id in self._nodes

    def history(self, revision_id: str) -> Iterator[Node]:
        """All that led to a revision, itself first, by falling number."""
        yield from self._walk([revision_id])

    def ancestor(self, one: str, other: str) -> str:
        """The newest revision that both came from (one of them, perhaps); empty when there is none."""
        reached = {node.revision_id for node in self.history(one)}
        return next((node.revision_id for node in self.history(other) if node.revision_id in reached), "")

    def only(self, one: str, other: str) -> Sequence[Node]:
        """What led to one but not to the other, by falling number."""
        reached = {node.revision_id for node in self.history(other)}
        return [node for node in self.history(one) if node.revision_id not in reached]

    def _walk(self, starts: Sequence[str]) -> Iterator[Node]:
        queue = [(-self._nodes[start].number, start) for start in starts if start in self._nodes]
        heapq.heapify(queue)
        seen = {start for _, start in queue}
        while queue:
            _, revision_id = heapq.heappop(queue)
            node = self._nodes[revision_id]
            yield node
            for parent in node.parents:
                if parent in self._nodes and parent not in seen:
                    seen.add(parent)
                    heapq.heappush(queue, (-self._nodes[parent].number, parent))
