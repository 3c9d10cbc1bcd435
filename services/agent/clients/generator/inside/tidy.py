"""Makes what Pynguin writes readable, and takes out assertions that say nothing or cannot hold elsewhere."""

from __future__ import annotations

import ast
import re
from typing import Any

import black

LINE_LENGTH = 100
MAX_LITERAL = 120  # characters; longer ones are noise from seeding
UNSTEADY_CALLS = ("__hash__", "hash", "id", "__sizeof__", "__dir__")
MISUSE = ("TypeError", "AttributeError", "RecursionError", "NotImplementedError", "NameError", "UnboundLocalError")


def tidy(source: str) -> dict[str, Any]:
    """`imports` (lines), `tests` (name -> source) and `weak` (names of tests that only show misuse)."""
    tree = ast.parse(source)
    aliases = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in _names(node)}
    tests: dict[str, str] = {}
    weak: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list and _tidied(node, aliases):
            node.name = _fresh(_named(node), tests)
            text = _formatted(ast.unparse(node))
            if text:
                tests[node.name] = text
                weak += [node.name] if _misuses(node) else []
    head = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.Assign)]
    return {"imports": [_formatted(ast.unparse(node)) for node in head], "tests": tests, "weak": weak}


def _names(node: ast.Assign) -> list[ast.Name]:
    return [target for target in node.targets if isinstance(target, ast.Name)]


def _tidied(node: ast.FunctionDef, aliases: set[str]) -> bool:
    """Whether something worth keeping is left."""
    if any(
        _long(each) for statement in node.body if not isinstance(statement, ast.Assert) for each in ast.walk(statement)
    ):
        return False
    unsteady = {
        name.id
        for each in ast.walk(node)
        if isinstance(each, ast.Assign) and _called(each.value) in UNSTEADY_CALLS
        for name in _names(each)
    }
    unsteady |= {
        name.id
        for each in node.body
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)
        for name in _names(each)
    }
    node.body = [each for each in node.body if not _idle(each, aliases, unsteady)]
    return any(isinstance(each, ast.Call) and _called(each) != "__dir__" for each in ast.walk(node))


def _long(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and len(node.value) > MAX_LITERAL


def _idle(node: ast.stmt, aliases: set[str], unsteady: set[str]) -> bool:
    if isinstance(node, ast.Expr):
        return _called(node.value) == "__dir__"
    return isinstance(node, ast.Assert) and _empty(node, aliases, unsteady)


def _empty(node: ast.Assert, aliases: set[str], unsteady: set[str]) -> bool:
    """An assertion on a constant, on a hash or an address, or one too long to read."""
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    left = node.test.left if isinstance(node.test, ast.Compare) else None
    constant = isinstance(left, ast.Attribute) and isinstance(left.value, ast.Name) and left.value.id in aliases
    return (
        constant or (bool(names & unsteady) and not _calls_anything(node)) or len(ast.unparse(node)) > 2 * MAX_LITERAL
    )


def _calls_anything(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Call) and _called(each) not in ("isinstance", "len") for each in ast.walk(node))


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _named(node: ast.FunctionDef) -> str:
    """After the last thing that it calls, and the error that it expects."""
    called = [_called(each) for each in ast.walk(node) if isinstance(each, ast.Call)]
    subject = next(
        (name for name in reversed(called) if name not in ("", "isinstance", "raises", "approx", "len")), "module"
    )
    error = _expected(node)
    ending = f"_raises_{_snake(error)}" if error else ""
    return f"test_{_snake(subject.strip('_'))}{ending}"


def _expected(node: ast.FunctionDef) -> str:
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and _called(each) == "raises" and each.args:
            return ast.unparse(each.args[0]).rpartition(".")[2]
    return ""


def _misuses(node: ast.FunctionDef) -> bool:
    return _expected(node) in MISUSE


def _fresh(name: str, taken: dict[str, str]) -> str:
    number = 1
    while (candidate := f"{name}_{number}") in taken:
        number += 1
    return candidate


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _formatted(text: str) -> str:
    try:
        return black.format_str(text, mode=black.Mode(line_length=LINE_LENGTH)).strip()
    except ValueError:
        return ""
