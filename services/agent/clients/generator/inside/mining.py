"""Values worth trying on a module: what its documentation shows, what its patterns match, what its code names."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterable
from types import FrameType, ModuleType
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

MAX_LENGTH = 60  # a longer text makes a test unreadable
MAX_NUMBER = 10**9
MAX_CANDIDATES = 500
MAX_PATTERNS = 8
SAMPLES = 16  # from each pattern
TRY_WITHIN_S = 1.5  # for one callable
ONE_WITHIN_S = 0.3  # for one call
PATTERN_FLAGS = re.VERBOSE | re.IGNORECASE


def documented(module: ModuleType, source: str) -> list[str | int]:
    """Literals in the examples of docstrings, then short literals of the code, without repeats."""
    found: dict[tuple[type, Any], None] = {}
    tree = ast.parse(source)
    for text in _docstrings(tree):
        for example in _examples(text):
            _collect(example, found)
    _collect(tree, found)
    return [value for _, value in found][:MAX_CANDIDATES]


def _docstrings(tree: ast.Module) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def _examples(docstring: str) -> Iterable[ast.AST]:
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:  # a doctest that is none
        return
    for example in examples:
        try:
            yield ast.parse(example.source)
        except SyntaxError:
            continue


def _collect(tree: ast.AST, found: dict[tuple[type, Any], None]) -> None:
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        small = type(value) is int and abs(value) < MAX_NUMBER
        if small or (isinstance(value, str) and len(value) <= MAX_LENGTH and "\n" not in value):
            found.setdefault((type(value), value))


def patterns(module: ModuleType) -> list[re.Pattern[str]]:
    """Compiled text patterns of the module and its classes, and constants named as patterns."""
    found: list[re.Pattern[str]] = []
    spaces = [vars(module), *(vars(each) for each in vars(module).values() if _own_class(each, module))]
    for space in spaces:
        for name, value in list(space.items()):
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                found.insert(0, value)
            elif isinstance(value, str) and name.upper().endswith(("PATTERN", "REGEX", "_RE")):
                _compile_into(value, found)
    return list({pattern.pattern.strip(): pattern for pattern in reversed(found)}.values())[:MAX_PATTERNS]


def _own_class(value: object, module: ModuleType) -> bool:
    return inspect.isclass(value) and value.__module__ == module.__name__


def _compile_into(text: str, found: list[re.Pattern[str]]) -> None:
    try:
        found.append(re.compile(text, PATTERN_FLAGS))
    except re.error:
        return


def samples(pattern: re.Pattern[str]) -> list[str]:
    """Readable texts that match it whole."""
    seen: list[str] = []

    @settings(
        max_examples=SAMPLES * 2,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.from_regex(pattern, fullmatch=True))
    def gather(text: str) -> None:
        if text not in seen and text.isascii() and text.isprintable() and len(text) <= MAX_LENGTH:
            seen.append(text)

    try:
        gather()
    except Exception:
        return seen  # a pattern that cannot be sampled is only a pattern less
    return spread(seen, SAMPLES)


def tried(
    target: Callable[[Any], object], candidates: Iterable[Any]
) -> tuple[list[Any], list[tuple[Any, type[BaseException]]]]:
    """The candidates that it takes, and those that it refuses with the error it raised."""
    good: list[Any] = []
    bad: list[tuple[Any, type[BaseException]]] = []
    end = time.monotonic() + TRY_WITHIN_S
    before = signal.signal(signal.SIGALRM, _interrupt)
    try:
        for candidate in candidates:
            if time.monotonic() > end:
                break
            error = _error_of(target, candidate)
            if error is None:
                good.append(candidate)
            else:
                bad.append((candidate, error))
    finally:
        signal.signal(signal.SIGALRM, before)
    return good, bad


def _error_of(target: Callable[[Any], object], candidate: Any) -> type[BaseException] | None:
    signal.setitimer(signal.ITIMER_REAL, ONE_WITHIN_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target(candidate)
    except (Exception, SystemExit) as error:
        return type(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("a call took too long")


def spread(values: list[Any], count: int) -> list[Any]:
    """Evenly taken, so that every source of values is heard."""
    if len(values) <= count:
        return values
    step = len(values) / count
    return [values[int(index * step)] for index in range(count)]
