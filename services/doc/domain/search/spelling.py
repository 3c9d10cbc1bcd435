"""Words that nobody has written, and the written word that was meant."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from rapidfuzz import process
from rapidfuzz.distance import OSA

SHORTEST, LONGEST = 4, 40
ONE_SLIP_UP_TO = 5
"""Longer words may have two slips."""
MAX_CANDIDATES = 64
_SLIP, _FIRST_LETTER, _FREQUENCY = 2.0, 1.0, 0.35


class Vocabulary:
    """Words in lower case with the number of documents that have them; `edition` of the index they were read from."""

    def __init__(self, words: Mapping[str, int], edition: object | None = None) -> None:
        self._words, self.edition = words, edition
        self._by_length: Mapping[int, list[str]] = defaultdict(list)
        for word in words:
            if len(word) <= LONGEST + 2:
                self._by_length[len(word)].append(word)

    def __len__(self) -> int:
        return len(self._words)

    def nearest(self, word: str, limit: int = 3) -> list[str]:
        """The words that may have been meant, the likeliest first; none for one that is too short or unlike all."""
        if not SHORTEST <= len(word) <= LONGEST or not word.isalpha():
            return []
        slips = 1 if len(word) <= ONE_SLIP_UP_TO else 2
        near = [
            each
            for length in range(len(word) - slips, len(word) + slips + 1)
            for each in self._by_length.get(length, ())
        ]
        found = process.extract(word, near, scorer=OSA.distance, score_cutoff=slips, limit=MAX_CANDIDATES)
        ranked = sorted((self._cost(word, each, int(distance)), each) for each, distance, _ in found if each != word)
        return [each for _, each in ranked[:limit]]

    def _cost(self, word: str, candidate: str, slips: int) -> float:
        """People rarely get the first letter wrong, and mean common words more often than rare ones."""
        first = _FIRST_LETTER if candidate[0] != word[0] else 0.0
        return _SLIP * slips + first - _FREQUENCY * math.log1p(self._words[candidate])
