"""Puts kept tests together to files that a person can read, run and go on with."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence

# Steady for people; while tests are tried, each run draws other values, so that what flickers shows.
STEADY = """STEADY = settings(
    max_examples={examples},
    deadline=None,
    derandomize={steady},
    database=None,
    suppress_health_check=list(HealthCheck),{phases}
)"""
EXAMPLES = 30
TRIED_EXAMPLES = 20
TRIED_PHASES = "\n    phases=[Phase.generate],  # a failure is only counted: shrinking it would be for nobody"
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")


def properties_file(
    module: str, imports: Sequence[str], prelude: Mapping[str, str], tests: Sequence[str], *, steady: bool
) -> str:
    """Property tests with the strategies that they use, and no others."""
    needed = _needed(prelude, tests)
    words = _words([*needed, *tests])
    names = [] if steady else ["Phase"]
    names += [name for name in ("HealthCheck", "given", "reject", "settings") if name in words or name in STEADY]
    names.sort(key=lambda name: (name.islower(), name))  # as isort does
    head = [
        f'"""Property tests of {module}, written by automesh with Hypothesis and its ghostwriter.\n\n'
        "Each of them passed several runs with different values, orders and hash seeds.\n"
        f'To run them: pytest, with {module} on the PYTHONPATH.\n"""',
        "\n".join(f"import {name}" for name in ("itertools",) if name in words),
        "\n".join(
            [
                *(f"import {name}" for name in ("pytest",) if name in words),
                f"from hypothesis import {', '.join(names)}",
                *(["from hypothesis import strategies as st"] if "st" in words else []),
            ]
        ),
        "\n".join(f"import {name}" for name in imports),
        _steady(steady=steady),
    ]
    return _joined(head, [*needed, *tests])


def examples_file(module: str, imports: Sequence[str], tests: Sequence[str]) -> str:
    """Example tests with assertions."""
    head = [
        f'"""Example tests of {module}, found by Pynguin and tidied by automesh.\n\n'
        "They state what the module does now; read them before you trust them as what it should do.\n"
        f'To run them: pytest, with {module} on the PYTHONPATH.\n"""',
        *_used(imports, _words(tests)),
    ]
    return _joined(head, tests)


def _steady(*, steady: bool) -> str:
    return STEADY.format(
        examples=EXAMPLES if steady else TRIED_EXAMPLES, steady=steady, phases="" if steady else TRIED_PHASES
    )


def _joined(head: Iterable[str], parts: Iterable[str]) -> str:
    return "\n\n".join(filter(None, head)) + "\n\n\n" + "\n\n\n".join(parts) + "\n"


def _needed(prelude: Mapping[str, str], tests: Sequence[str]) -> list[str]:
    """Definitions that the tests use, and what these use in turn, in their own order."""
    wanted = _words(tests)
    for name in reversed(list(prelude)):  # later ones are made of earlier ones
        if name in wanted:
            wanted |= _words([prelude[name]])
    return [source for name, source in prelude.items() if name in wanted]


def _used(imports: Sequence[str], words: set[str]) -> tuple[str, str, str]:
    """The standard library's lines, the others', and aliases made by assignment with what they are made of."""
    assigned = [line for line in imports if "=" in line and line.partition(" ")[0] in words]
    words = words | _words(line.partition("=")[2] for line in assigned)
    plain = [line for line in imports if "=" not in line]
    kept = [line for line in dict.fromkeys(plain) if _binds(line) & words or _whole(line)]
    standard = [line for line in kept if line.split()[1] in sys.stdlib_module_names]
    others = [line for line in kept if line not in standard]
    return "\n".join(standard), "\n".join(others), "\n".join(assigned)


def _whole(line: str) -> bool:
    """A dotted import may be there for what it does: it puts the module where an alias finds it."""
    return line.startswith("import ") and "." in line


def _binds(line: str) -> set[str]:
    return set(_WORD.findall(line.rpartition("import ")[2].rpartition(" as ")[2]))


def _words(sources: Iterable[str]) -> set[str]:
    return {word for source in sources for word in _WORD.findall(source)}
