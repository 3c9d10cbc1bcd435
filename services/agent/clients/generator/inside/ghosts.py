"""Tests by Hypothesis' ghostwriter, fed with inputs that are known to be good."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis.errors import HypothesisException
from hypothesis.extra import ghostwriter

from services.agent.clients.generator.inside.subject import Subject, Target

FAILURES = (HypothesisException, ValueError, TypeError, AttributeError, NameError, RecursionError, SyntaxError)


def write(subject: Subject) -> Iterator[tuple[str, str]]:
    """Names and sources, each with its decorators."""
    for target in subject.targets:
        arguments = _arguments(subject, target)
        for text in _written(subject, target):
            yield from _strengthened(text, arguments)
    yield from _pairs(subject)


def _arguments(subject: Subject, target: Target) -> dict[str, str]:
    arguments = subject.arguments.of(target.what) or {}
    if target.texts and arguments:
        first = next(iter(arguments))
        arguments[first] = target.texts
    return arguments


def _written(subject: Subject, target: Target) -> Iterator[str]:
    yield from _ask(lambda: ghostwriter.fuzz(target.what, except_=subject.errors, style="pytest", annotate=False))
    if not target.is_class:
        yield from _ask(
            lambda: ghostwriter.idempotent(target.what, except_=subject.errors, style="pytest", annotate=False)
        )


def _pairs(subject: Subject) -> Iterator[tuple[str, str]]:
    """What it sees in names and types: round trips, equivalents, operators."""
    functions = [target.what for target in subject.targets if not target.is_class]
    if len(functions) > 1:
        texts = {target.texts: None for target in subject.targets if target.texts}
        good = next(iter(texts), None)
        for text in _ask(lambda: ghostwriter.magic(*functions, except_=subject.errors, style="pytest", annotate=False)):
            for name, source in _strengthened(text, {}, texts=good):
                if not name.startswith("test_fuzz_"):
                    yield name, source


def _ask(question: Callable[[], str]) -> Iterator[str]:
    try:
        yield question()
    except FAILURES:
        return  # it has nothing to say of this one


def _strengthened(text: str, arguments: dict[str, str], texts: str | None = None) -> Iterator[tuple[str, str]]:
    for node in ast.parse(text).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                for keyword in decorator.keywords:
                    keyword.value = _better(keyword, arguments, texts)
        if "st.nothing()" not in ast.unparse(node):
            yield node.name, "@STEADY\n" + ast.unparse(node)


def _better(keyword: ast.keyword, arguments: dict[str, str], texts: str | None) -> ast.expr:
    known: Any = arguments.get(keyword.arg or "")
    if known is None and texts is not None and ast.unparse(keyword.value) == "st.text()":
        known = texts
    return ast.parse(known, mode="eval").body if known else keyword.value
