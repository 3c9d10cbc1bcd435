"""One text that several people change at once: a document of Yjs with the Y.Text "content"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycrdt import Doc, Map, Text, get_update

from services.doc.domain.editing.errors import UpdateMalformed, began_anew
from services.doc.domain.editing.ports import Standing, Verdict
from services.doc.domain.editing.room import MAX_HISTORY
from services.doc.domain.editing.splices import splices
from services.doc.editing import varints

CONTENT, ABOUT = "content", "automesh"
LOG_UPDATES, LOG_BYTES = 200, 1024**2
"""So much is remembered one by one, before it becomes part of what a text is made again from."""
MOST_DECODED = 64 * 1024
"""Bytes of a state vector."""


def begin(content: str, founder: int) -> bytes:
    """The first update of a room. It always has something of its founder in it, so that the room can be told by it."""
    doc: Doc[Any] = Doc(client_id=founder)
    doc.get(ABOUT, type=Map)["begun"] = True
    text = doc.get(CONTENT, type=Text)
    if content:
        text += content
    return doc.get_update()


class SharedText:
    """Made of updates. What is refused leaves no trace in it."""

    def __init__(self, updates: Sequence[bytes]) -> None:
        self._past, self._log = b"", list(updates)
        self._remake()

    @property
    def history(self) -> int:
        """Bytes of all that it is made of."""
        return len(self._past) + sum(map(len, self._log))

    def take(self, update: bytes) -> None:
        """One that is durable already."""
        self._doc.apply_update(update)
        self._remember(update)

    def judge_all(self, updates: Sequence[bytes], *, max_bytes: int) -> list[Verdict]:
        """One after the other. Whether they write characters only is looked at once: it takes as long as the text."""
        before = self._past, list(self._log)
        verdicts = [self.judge(each, max_bytes=max_bytes) for each in updates]
        if len(self._text) == len(str(self._text).encode()):
            return verdicts
        self._past, self._log = before
        self._remake()
        if len(updates) == 1:
            return [Verdict.MALFORMED]
        return [self.judge_all([each], max_bytes=max_bytes)[0] for each in updates]

    def judge(self, update: bytes, *, max_bytes: int) -> Verdict:
        """Brings it in, if it is fine."""
        if not varints.is_plausible(update):
            return Verdict.MALFORMED
        before = len(self._text)
        try:
            self._doc.apply_update(update)
            known = varints.is_within(get_update(update, self._doc.get_state()), self._clocks())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # pycrdt raises ValueError; a panic of Rust is no Exception
            self._remake()
            return Verdict.MALFORMED
        verdict = Verdict.TAKEN
        if not known:
            verdict = Verdict.OUT_OF_ORDER
        elif len(self._text) > max(max_bytes, before):
            verdict = Verdict.TOO_LARGE
        elif self.history + len(update) > MAX_HISTORY and len(self.snapshot()) + len(update) > MAX_HISTORY:
            verdict = Verdict.HISTORY_FULL
        if verdict is Verdict.TAKEN:
            self._remember(update)
        else:
            self._remake()
        return verdict

    def standing(self, state_vector: bytes, founder: int) -> Standing:
        """For somebody who has what the vector says. Raises UpdateMalformed, RoomBeganAnew."""
        try:
            clocks = varints.state_vector(state_vector[:MOST_DECODED]) if state_vector else {}
            if clocks and founder not in clocks:
                raise began_anew()
            update = self._doc.get_update(state_vector or None)
        except ValueError as error:
            raise UpdateMalformed(f"state_vector is none of Yjs: {error}", field="join.state_vector") from error
        return Standing(update, self._doc.get_state())

    def rewrite(self, content: str) -> bytes:
        """The update that makes it read so; empty when it does already."""
        old = str(self._text)
        if old == content:
            return b""
        before = self._doc.get_state()
        with self._doc.transaction():
            for splice in reversed(splices(old, content)):
                start = len(old[: splice.start].encode())  # pycrdt counts bytes
                end = start + len(old[splice.start : splice.end].encode())
                if end > start:
                    del self._text[start:end]
                if splice.text:
                    self._text.insert(start, splice.text)
        update = self._doc.get_update(before)
        self._remember(update)
        return update

    def snapshot(self) -> bytes:
        """One update that stands for all."""
        self._past, self._log = self._doc.get_update(), []
        return self._past

    def __str__(self) -> str:
        return str(self._text)

    def _clocks(self) -> dict[int, int]:
        return dict(varints.state_vector(self._doc.get_state()))

    def _remember(self, update: bytes) -> None:
        self._log.append(update)
        if len(self._log) > LOG_UPDATES or sum(map(len, self._log)) > LOG_BYTES:
            self.snapshot()

    def _remake(self) -> None:
        self._doc: Doc[Text] = Doc()
        self._text = self._doc.get(CONTENT, type=Text)
        for update in [self._past, *self._log] if self._past else self._log:
            self._doc.apply_update(update)
