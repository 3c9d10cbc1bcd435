"""Property tests from templates: equality, order, text form, refusals, and that asking twice changes nothing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from services.agent.clients.generator.inside.subject import Subject, Target

# Told by other templates, or not to be called by hand.
LEFT_OUT = frozenset(
    f"__{name}__"
    for name in (
        *("init", "new", "init_subclass", "class_getitem", "setattr", "delattr", "getattr", "getattribute", "del"),
        *("getstate", "setstate", "reduce", "reduce_ex", "sizeof", "dir", "hash", "repr", "str", "format"),
        *("lt", "le", "gt", "ge", "ne", "enter", "exit", "get", "set", "set_name"),
        *("subclasshook", "instancecheck", "subclasscheck"),
    )
)
OUTCOME = '''
def outcome(function, *args, **kwargs):
    """What a call gives: its result or its error, in a form that can be compared."""
    try:
        result = function(*args, **kwargs)
        return repr(list(itertools.islice(result, 100)) if hasattr(result, "__next__") else result)
    except Exception as error:
        return type(error).__name__, str(error)
'''


def write(subject: Subject) -> Iterator[tuple[str, str]]:
    """Names and sources, each with its decorators."""
    for target in subject.targets:
        if not target.is_class:
            yield from _function(subject, target)
        elif not issubclass(target.what, BaseException):
            yield from _value(subject, target)
            yield from _order(subject, target)
            yield from _attributes(subject, target)
            yield from _methods(subject, target)
        yield from _refusals(target)
        if target.pattern:
            yield _pattern(target)


def _test(name: str, given: dict[str, str], *lines: str) -> tuple[str, str]:
    name = f"test_{_snake(name)}"
    strategies = ", ".join(f"{key}={value}" for key, value in given.items())
    decorators = f"@STEADY\n@given({strategies})\n" if given else ""
    body = "\n".join(f"    {line}" for line in lines)
    return name, f"{decorators}def {name}({', '.join(given)}):\n{body}"


def _function(subject: Subject, target: Target) -> Iterator[tuple[str, str]]:
    if inspect.iscoroutinefunction(target.what) or inspect.isasyncgenfunction(target.what):
        return
    arguments = subject.arguments.of(target.what)
    if arguments is None:
        return
    if target.texts and arguments:
        first = next(iter(arguments))
        arguments[first] = f"{target.texts} | TEXTS" if target.texts != "TEXTS" else "TEXTS"
    call = f"outcome({', '.join([target.path, *_passed(target.what, arguments)])})"
    yield _test(f"{target.name}_answers_the_same_twice", arguments, f"assert {call} == {call}")


def _value(subject: Subject, target: Target) -> Iterator[tuple[str, str]]:
    what, path = target.what, target.path
    if not target.texts:
        return
    given = {"text": target.texts}
    if what.__eq__ is not object.__eq__:
        lines = [f"first, second = {path}(text), {path}(text)", "assert first == second", "assert first != object()"]
        if what.__hash__ is not None:
            lines.append("assert hash(first) == hash(second)")
        yield _test(f"{target.name}_made_twice_is_equal", given, *lines)
        if what.__str__ is not object.__str__:
            again = f"assert {path}(str(value)) == value"
            yield _test(f"{target.name}_is_made_again_from_its_text", given, f"value = {path}(text)", again)
    if what.__repr__ is not object.__repr__:
        yield _test(f"{target.name}_shows_itself_alike", given, f"assert repr({path}(text)) == repr({path}(text))")
    if what.__str__ is not object.__str__:
        yield _test(f"{target.name}_reads_alike", given, f"assert str({path}(text)) == str({path}(text))")


def _order(subject: Subject, target: Target) -> Iterator[tuple[str, str]]:
    values = subject.arguments.values.get(target.what)
    if values is None or not _ordered(target.what):
        return
    yield _test(
        f"{target.name}_is_ordered",
        {"left": values, "right": values},
        "assert (left < right) + (left == right) + (left > right) == 1",
        "assert (left <= right) == (not left > right)",
        "assert (left >= right) == (not left < right)",
        "assert (left != right) == (not left == right)",
    )
    yield _test(
        f"{target.name}_has_no_order_with_another_kind",
        {"value": values},
        "assert outcome(lambda: value < object())[0] == 'TypeError'",
        "assert outcome(lambda: value >= object())[0] == 'TypeError'",
        "assert outcome(lambda: value <= object())[0] == 'TypeError'",
        "assert outcome(lambda: value > object())[0] == 'TypeError'",
    )


def _ordered(what: Any) -> bool:
    return any("__lt__" in vars(each) for each in what.__mro__ if each is not object)


def _attributes(subject: Subject, target: Target) -> Iterator[tuple[str, str]]:
    names = [name for name, held in inspect.getmembers_static(target.what) if _readable(name, held)]
    if not names:
        return
    checks = [f"assert outcome(getattr, first, {name!r}) == outcome(getattr, second, {name!r})" for name in names]
    name = f"{target.name}_attributes_are_steady"
    if target.texts:
        made = f"first, second = {target.path}(text), {target.path}(text)"
        yield _test(name, {"text": target.texts}, made, *checks)
    elif values := subject.arguments.values.get(target.what):
        yield _test(name, {"first": values}, "second = first", *checks)


def _readable(name: str, held: Any) -> bool:
    return not name.startswith("_") and (isinstance(held, property) or inspect.isdatadescriptor(held))


def _methods(subject: Subject, target: Target) -> Iterator[tuple[str, str]]:
    values = subject.arguments.values.get(target.what)
    for name, held in inspect.getmembers_static(target.what):
        bound_to_class = isinstance(held, classmethod | staticmethod)
        function = held.__func__ if bound_to_class else held
        wanted = not name.startswith("_") or (name in vars(target.what) and _is_dunder(name))
        if not wanted or not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
            continue
        arguments = subject.arguments.of(function, skip_first=not isinstance(held, staticmethod))
        if arguments is None or (values is None and not bound_to_class):
            continue
        yield from _method(target, name, function, arguments, None if bound_to_class else values)


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in LEFT_OUT


def _method(
    target: Target, name: str, function: Any, arguments: dict[str, str], values: str | None
) -> Iterator[tuple[str, str]]:
    given = dict(arguments)
    if values is None:
        owner = target.path
    elif target.texts:
        given, owner = {"text": target.texts, **given}, f"{target.path}(text)"
    else:
        given, owner = {"value": values, **given}, "value"
    if len(given) != len(arguments) + (values is not None):  # a parameter of its own is called text or value
        return
    call = f"outcome({', '.join([f'{owner}.{name}', *_passed(function, arguments)])})"
    title = f"{target.name}_{name.strip('_')}_answers_the_same_twice"
    yield _test(title, given, f"first = {call}", f"assert first == {call}")


def _pattern(target: Target) -> tuple[str, str]:
    given = {"text": f"st.from_regex({target.pattern}, fullmatch=True)"}
    return _test(f"{target.name}_takes_what_its_pattern_matches", given, f"assert {target.path}(text) is not None")


def _refusals(target: Target) -> Iterator[tuple[str, str]]:
    for error, texts in target.bad.items():
        short = error.rpartition(".")[2]
        given = {"text": f"st.sampled_from({texts!r})"}
        lines = [f"with pytest.raises({error}):", f"    {target.path}(text)"]
        yield _test(f"{target.name}_refuses_with_{short}", given, *lines)


def _passed(function: Any, arguments: dict[str, str]) -> list[str]:
    parameters = inspect.signature(function).parameters
    only_position = inspect.Parameter.POSITIONAL_ONLY
    return [name if parameters[name].kind is only_position else f"{name}={name}" for name in arguments]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
