"""Texts held in this very process, for tests and where no program of its own may run: nothing bounds its time."""

from __future__ import annotations

from collections.abc import Sequence

from services.doc.domain.editing.errors import TextsLost
from services.doc.domain.editing.ports import Standing, Verdict
from services.doc.editing.shared_text import SharedText, begin


class InlineTexts:
    """A services.doc.domain.editing.ports.SharedTexts; `lose` forgets all, as when the program ends."""

    def __init__(self) -> None:
        self._texts: dict[str, SharedText] = {}

    def lose(self) -> None:
        self._texts.clear()

    async def begin(self, content: str, founder: int) -> bytes:
        return begin(content, founder)

    async def load(self, room_id: str, updates: Sequence[bytes]) -> None:
        self._texts[room_id] = SharedText(updates)

    async def take(self, room_id: str, updates: Sequence[bytes]) -> None:
        for update in updates:
            self._of(room_id).take(update)

    async def judge(self, room_id: str, updates: Sequence[bytes], *, max_bytes: int) -> Sequence[Verdict]:
        return self._of(room_id).judge_all(updates, max_bytes=max_bytes)

    async def standing(self, room_id: str, state_vector: bytes, founder: int) -> Standing:
        return self._of(room_id).standing(state_vector, founder)

    async def text(self, room_id: str) -> str:
        return str(self._of(room_id))

    async def rewrite(self, room_id: str, content: str) -> bytes:
        return self._of(room_id).rewrite(content)

    async def snapshot(self, room_id: str) -> bytes:
        return self._of(room_id).snapshot()

    async def drop(self, room_id: str) -> None:
        self._texts.pop(room_id, None)

    def _of(self, room_id: str) -> SharedText:
        if room_id not in self._texts:
            raise TextsLost("the text is not loaded")
        return self._texts[room_id]
