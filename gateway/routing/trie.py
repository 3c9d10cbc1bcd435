"""The route table: a trie over path segments. A literal wins over `*`, which wins over `**`, in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from automesh.core.errors import AutomationError
from gateway.routing.path import Path, keep_slashes
from gateway.routing.template import DOUBLE_STAR, STAR, Template

T = TypeVar("T")
Captures = dict[str, str]


class RouteConflict(AutomationError):
    """Two methods claim the same requests."""

    reason = "ROUTE_CONFLICT"


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """A route that takes the request, with what its template captured."""

    target: T
    captures: Captures


@dataclass(slots=True)
class _Entry(Generic[T]):
    template: Template
    target: T


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    star: _Node[T] | None = None
    tails: list[tuple[tuple[str, ...], _Node[T]]] = field(default_factory=list)  # what follows a `**` here
    routes: dict[tuple[str, str], _Entry[T]] = field(default_factory=dict)  # (verb, HTTP method)


class RouteTable(Generic[T]):
    """Built once with `add`, then only read."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._verbs: set[str] = {""}

    def add(self, method: str, template: Template, target: T) -> None:
        """Raises RouteConflict when another template matches exactly the same requests."""
        node = self._root
        for at, segment in enumerate(template.segments):
            if segment == DOUBLE_STAR:
                node = _tail(node, template.segments[at + 1 :])
                break
            node = _child(node, segment)
        key = (template.verb, method)
        if key in node.routes:
            other = node.routes[key].template.text
            raise RouteConflict(f"{method} {template.text} and {method} {other} match the same requests")
        node.routes[key] = _Entry(template, target)
        self._verbs.add(template.verb)

    def match(self, method: str, path: Path) -> Match[T] | None:
        """The best route for the request; None when there is none."""
        for verb, raw, decoded in self._readings(path):
            for node in _walk(self._root, decoded, 0):
                entry = node.routes.get((verb, method))
                if entry is not None:
                    return Match(entry.target, _captures(entry.template, raw, decoded))
        return None

    def methods(self, path: Path) -> frozenset[str]:
        """The HTTP methods that some route has for the path."""
        return frozenset(
            method
            for verb, _, decoded in self._readings(path)
            for node in _walk(self._root, decoded, 0)
            for node_verb, method in node.routes
            if node_verb == verb
        )

    def _readings(self, path: Path) -> Iterator[tuple[str, tuple[bytes, ...], tuple[str, ...]]]:
        """The path with its last colon read as a verb, where some route has that verb; then as plain text."""
        head, colon, verb = path.decoded[-1].rpartition(":")
        if colon and head and verb in self._verbs and path.raw[-1].endswith(f":{verb}".encode()):
            raw_head = path.raw[-1][: -len(verb) - 1]
            yield verb, (*path.raw[:-1], raw_head), (*path.decoded[:-1], head)
        yield "", path.raw, path.decoded


def _child(node: _Node[T], segment: str) -> _Node[T]:
    if segment == STAR:
        node.star = node.star or _Node()
        return node.star
    return node.literals.setdefault(segment, _Node())


def _tail(node: _Node[T], tail: tuple[str, ...]) -> _Node[T]:
    for have, found in node.tails:
        if have == tail:
            return found
    found = _Node[T]()
    node.tails.append((tail, found))
    # The longer tail says more; among equals a literal wins over `*`, segment by segment.
    node.tails.sort(key=lambda each: (-len(each[0]), [part == STAR for part in each[0]]))
    return found


def _walk(node: _Node[T], segments: tuple[str, ...], at: int) -> Iterator[_Node[T]]:
    """Every node at which `segments` can end, the best first."""
    if at == len(segments):
        yield node
    elif segments[at]:
        literal = node.literals.get(segments[at])
        if literal is not None:
            yield from _walk(literal, segments, at + 1)
        if node.star is not None:
            yield from _walk(node.star, segments, at + 1)
    for tail, end in node.tails:
        if _tail_fits(segments, at, tail):
            yield end


def _tail_fits(segments: tuple[str, ...], at: int, tail: tuple[str, ...]) -> bool:
    split = len(segments) - len(tail)
    return (
        split >= at
        and all(segments[at:])
        and all(want in (STAR, have) for want, have in zip(tail, segments[split:], strict=True))
    )


def _captures(template: Template, raw: tuple[bytes, ...], decoded: tuple[str, ...]) -> Captures:
    """The text of each variable; several segments are joined by '/' and keep %2F."""
    more = len(raw) - len(template.segments)
    double = template.double_star
    captures = {}
    for variable in template.variables:
        start = variable.start + (more if -1 < double < variable.start else 0)
        end = variable.end + (more if -1 < double < variable.end else 0)
        if template.is_multi(variable):
            captures[variable.field_path] = "/".join(keep_slashes(piece) for piece in raw[start:end])
        else:
            captures[variable.field_path] = decoded[start]
    return captures
