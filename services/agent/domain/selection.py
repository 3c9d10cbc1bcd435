"""Which generated tests are worth keeping: those that always pass and say something that others do not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.agent.domain.generation import Dropped

_DEFINITION = re.compile(r"^def \w+\(", re.MULTILINE)
_VARIABLE = re.compile(r"\bvar_\d+\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One generated test. `key` is `file.py::name`."""

    key: str
    source: str
    weak: bool = False  # shows only how the module is misused

    @property
    def name(self) -> str:
        return self.key.rpartition("::")[2]

    @property
    def asserts(self) -> bool:
        return not self.weak and ("assert " in self.source or "pytest.raises" in self.source)

    @property
    def essence(self) -> str:
        """Its source without what could be named otherwise."""
        numbers: dict[str, str] = {}

        def renumber(found: re.Match[str]) -> str:
            return numbers.setdefault(found[0], f"var_{len(numbers)}")

        return _VARIABLE.sub(renumber, _DEFINITION.sub("def test(", self.source, count=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What stays and how much went."""

    kept: tuple[Candidate, ...]
    dropped: Dropped


def select(
    candidates: Sequence[Candidate], runs: Sequence[Mapping[str, bool]], lines: Mapping[str, frozenset[int]]
) -> Selection:
    """`runs` tell for each test whether it passed (absent: it never ended); `lines` what it covers."""
    steady: list[Candidate] = []
    failed = flaky = 0
    for candidate in candidates:
        passes = sum(run.get(candidate.key, False) for run in runs)
        if passes == len(runs):
            steady.append(candidate)
        elif passes == 0:
            failed += 1
        else:
            flaky += 1
    kept = _useful(_distinct(steady), lines)
    dropped = Dropped(failed=failed, flaky=flaky, duplicate=len(steady) - len(kept))
    return Selection(kept=tuple(kept), dropped=dropped)


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    seen: dict[str, Candidate] = {}
    for candidate in candidates:
        seen.setdefault(candidate.essence, candidate)
    return list(seen.values())


def _useful(candidates: Sequence[Candidate], lines: Mapping[str, frozenset[int]]) -> list[Candidate]:
    """All that assert; of the others those that reach lines nothing kept so far reaches. Order is kept."""
    reached: set[int] = set()
    for candidate in candidates:
        if candidate.asserts:
            reached |= lines.get(candidate.key, frozenset())
    kept: list[Candidate] = []
    for candidate in candidates:
        own = lines.get(candidate.key, frozenset())
        if candidate.asserts or own - reached:
            reached |= own
            kept.append(candidate)
    return kept
