"""How a generation's budget is spread over its phases, and what part of the whole each is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """From which to which fraction of the work it leads, and how it is called while it runs."""

    begins: float
    ends: float
    title: str


SURVEY = Phase(0.0, 0.1, "looking at the module")
SEARCH = Phase(0.1, 0.65, "searching for examples")
TRIAL = Phase(0.65, 0.85, "trying the tests")
FINAL = Phase(0.85, 0.98, "measuring coverage")

SEARCH_SHARE = 0.33
MIN_SEARCH_S = 2
SEARCH_EXTRA_S = 5.0  # it starts, writes assertions and minimises around its search
MIN_SURVEY_CPU_S = 5.0
SURVEY_CPU_SHARE = 0.5
BUSY = 3.0  # how much longer things take on a busy machine before they are given up
MIN_TRIAL_S = 30.0


def search_s(budget_s: float) -> int:
    """Whole seconds for the search itself."""
    return max(MIN_SEARCH_S, int(budget_s * SEARCH_SHARE))


def survey_cpu_s(budget_s: float) -> float:
    """When an import that works without end is given up."""
    return max(MIN_SURVEY_CPU_S, budget_s * SURVEY_CPU_SHARE)


def survey_limit_s(budget_s: float) -> float:
    """When an import that waits without end is given up."""
    return BUSY * survey_cpu_s(budget_s)


def search_limit_s(budget_s: float) -> float:
    """When the search is given up."""
    return search_s(budget_s) + 2 * BUSY * SEARCH_EXTRA_S


def trial_limit_s(budget_s: float) -> float:
    """When a run of the tests is given up."""
    return max(MIN_TRIAL_S, BUSY * budget_s)


def fraction(phase: Phase, elapsed_s: float, expected_s: float) -> float:
    """Where the work stands; it nears the end of the phase without reaching it by time alone."""
    share = min(elapsed_s / expected_s, 0.98) if expected_s > 0 else 0.0
    return phase.begins + (phase.ends - phase.begins) * share
