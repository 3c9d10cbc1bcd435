"""Imports the module, tells what is wrong with it, and writes property tests.

argv is MODULE, RESULT, MANNER, PATH...
"""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import black
from hypothesis.internal import charmap

from services.agent.clients.generator.inside import ghosts, properties
from services.agent.clients.generator.inside.subject import Subject

TRYING = "trying"
MAX_TESTS = 300
MAX_KNOWN = 200
LAST_LINES = 6
LINE_LENGTH = 100
NETWORK_ERRORS = ("gaierror", "herror", "ConnectionError", "URLError", "ConnectError", "NewConnectionError")
NETWORK_NUMBERS = (100, 101, 103, 104, 110, 111, 112, 113)  # ENETDOWN, ENETUNREACH, ... EHOSTUNREACH
IMPORTED = "the module is imported"  # domain/refusals.py waits for it


def survey(name: str, *, trying: bool = True) -> dict[str, Any]:
    """The result as plain data; an `error` in it stands alone. `trying` calls what the module offers."""
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        return _failure(error)
    print(IMPORTED, flush=True)  # noqa: T201 - tells a slow import from slow work
    file = inspect.getsourcefile(module)
    if file is None or not file.endswith(".py"):
        return {"error": "no_source", "detail": f"{name} is not written in Python"}
    return _describe(Subject(module, Path(file).read_text(encoding="utf-8"), trying=trying))


def _describe(subject: Subject) -> dict[str, Any]:
    tests: dict[str, str] = {}
    for test, text in [*properties.write(subject), *ghosts.write(subject)]:
        formatted = _formatted(text)
        if formatted and len(tests) < MAX_TESTS:
            tests.setdefault(test, formatted)
    prelude = {key: _formatted(f"{key} = {value}") for key, value in subject.prelude.items()}
    return {
        "imports": _imports(tests, prelude, subject.module.__name__),
        "prelude": {key: value for key, value in prelude.items() if value} | {"outcome": properties.OUTCOME.strip()},
        "tests": tests,
        "known": subject.known()[:MAX_KNOWN],
        "targets": [target.name for target in subject.targets],
        "tables": _tables(),
    }


def _tables() -> dict[str, str]:
    """Hypothesis' tables of Unicode, as base64: made anew in each trial they would cost seconds under coverage."""
    charmap.charmap()
    charmap.intervals_from_codec("utf-8")  # what st.text() draws from
    files = charmap.charmap_file().parent.glob("*.json.gz")
    return {file.name: base64.b64encode(file.read_bytes()).decode("ascii") for file in files}


def _imports(tests: dict[str, str], prelude: dict[str, str], name: str) -> list[str]:
    """Every module that a test names by its full path."""
    text = "\n".join([*tests.values(), *prelude.values()])
    top = name.partition(".")[0]
    named = {each for each in sys.modules if each.partition(".")[0] == top and f"{each}." in text}
    return sorted({name, *named})


def _formatted(text: str) -> str:
    try:
        return black.format_str(text, mode=black.Mode(line_length=LINE_LENGTH)).strip()
    except ValueError:  # black's InvalidInput is one: a repr that is no source
        return ""


def _failure(error: BaseException) -> dict[str, Any]:
    lines = "".join(traceback.format_exception(error)).strip().splitlines()
    detail = "\n".join(lines[-LAST_LINES:])
    if isinstance(error, MemoryError):
        return {"error": "memory", "detail": detail}
    if isinstance(error, BlockingIOError) or "can't start new thread" in str(error):
        return {"error": "processes", "detail": detail}
    return {"error": "network" if _tried_network(error) else "import", "detail": detail}


def _tried_network(error: BaseException | None) -> bool:
    for _ in range(10):
        if error is None:
            return False
        names = {each.__name__ for each in type(error).__mro__}
        if names.intersection(NETWORK_ERRORS) or getattr(error, "errno", None) in NETWORK_NUMBERS:
            return True
        error = error.__cause__ or error.__context__
    return False


def main(name: str, result: str, manner: str, *paths: str) -> None:
    sys.path[:0] = paths
    Path(result).write_text(json.dumps(survey(name, trying=manner == TRYING)), encoding="utf-8")
