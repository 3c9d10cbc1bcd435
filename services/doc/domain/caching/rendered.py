"""Rendered texts, kept with what their links led to: never shown when one leads elsewhere now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

from services.doc.domain.caching.ports import Cache, key_of
from services.doc.domain.markdown.renderer import Renderer, Resolve

TTL_S = 7 * 86_400.0
KIND = "page"


@dataclass(frozen=True, slots=True)
class _Kept:
    html: str
    answers: Mapping[str, str | None]
    """What was asked of `resolve`, and what it said."""


class CachedRenderer:
    """Renders in a thread, and only what it has not rendered yet.

    `version` changes whenever the renderer would make something else of the same text.
    """

    def __init__(self, renderer: Renderer, cache: Cache, *, version: str) -> None:
        self._renderer, self._cache, self._version = renderer, cache, version
        self.hits = self.misses = 0

    async def render(self, content: str, *, scope: str, resolve: Resolve) -> str:
        """As services.doc.domain.markdown.renderer.Renderer does.

        `scope` names where the text stands (tenant, space, branch, path), so that equal texts of different places do
        not push each other out.
        """
        key = key_of(KIND, self._version, scope, content)
        value = await self._cache.get(key)
        kept = await asyncio.to_thread(_current, value, resolve) if value is not None else None
        if kept is not None:
            self.hits += 1
            return kept
        self.misses += 1
        html, made = await asyncio.to_thread(self._made, content, resolve)
        await self._cache.set(key, made, ttl_s=TTL_S)
        return html

    def _made(self, content: str, resolve: Resolve) -> tuple[str, bytes]:
        asking = _Asking(resolve)
        html = self._renderer.render(content, resolve=asking)
        return html, json.dumps([html, asking.answers]).encode()


class _Asking:
    """Remembers what was asked."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self.answers: dict[str, str | None] = {}

    def __call__(self, target: str) -> str | None:
        answer = self._resolve(target)
        self.answers[target] = answer
        return answer


def _current(value: bytes, resolve: Resolve) -> str | None:
    """The page that is kept, if all its links lead where they led."""
    kept = _read(value)
    if kept is None or any(resolve(target) != answer for target, answer in kept.answers.items()):
        return None
    return kept.html


def _read(value: bytes) -> _Kept | None:
    try:
        html, answers = json.loads(value)
    except (ValueError, TypeError):
        return None
    return _Kept(html, answers) if isinstance(html, str) and isinstance(answers, dict) else None
