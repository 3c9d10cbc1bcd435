"""Hypothesis strategies, as source text, for the parameters of what a module offers."""

from __future__ import annotations

import builtins
import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

TEXTS = "TEXTS"
MAX_DEPTH = 4
EMPTY = inspect.Parameter.empty
POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
SIMPLE: Mapping[object, str] = {
    str: TEXTS,
    int: "st.integers(-5, 100)",
    bool: "st.booleans()",
    float: "st.floats(-1e6, 1e6)",
    bytes: "st.binary(max_size=16)",
    None: "st.none()",
    type(None): "st.none()",
    object: TEXTS,
    Any: TEXTS,
}
LISTS = (
    list,
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Sequence,
    collections.abc.Collection,
)
SETS = (set, frozenset, collections.abc.Set)
DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class _Lenient(dict[str, Any]):
    """Names an annotation may use; unknown ones (imported for the type checker alone) are anything."""

    def __missing__(self, name: str) -> Any:
        for space in (builtins, collections.abc, typing):
            if hasattr(space, name):
                return getattr(space, name)
        return Any


class Arguments:
    """Writes strategies. `values` are the names of strategies already made for classes."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = dict(names)
        self.values: dict[type, str] = {}

    def of(self, target: Callable[..., Any], *, skip_first: bool = False) -> dict[str, str] | None:
        """Parameter -> strategy, or None where a required one is beyond us. Optional ones may be left out."""
        try:
            parameters = list(inspect.signature(target).parameters.values())
        except (TypeError, ValueError):
            return None
        chosen: dict[str, str] = {}
        for parameter in parameters[1 if skip_first else 0 :]:
            if parameter.kind in VARIABLE:
                continue
            strategy = self._of_parameter(parameter)
            if strategy is not None:
                chosen[parameter.name] = strategy
            elif parameter.default is EMPTY:
                return None
            elif parameter.kind is POSITIONAL_ONLY:
                break
        return chosen

    def _of_parameter(self, parameter: inspect.Parameter) -> str | None:
        annotation = parameter.annotation
        if annotation is EMPTY:
            if parameter.default is EMPTY or parameter.default is None:
                return TEXTS
            annotation = type(parameter.default)
        return self.of_type(self._evaluate(annotation))

    def _evaluate(self, annotation: Any) -> Any:
        if not isinstance(annotation, str):
            return annotation
        names = _Lenient(self._names)
        try:
            return eval(annotation, {}, names)  # noqa: S307 - the module's own text, where its code runs anyway
        except Exception:
            return EMPTY

    def of_type(self, wanted: Any, depth: int = 0) -> str | None:
        """A strategy for a type; None where there is no good one."""
        if depth > MAX_DEPTH or wanted is EMPTY:
            return None
        if isinstance(wanted, str):
            wanted = self._evaluate(wanted)
        if isinstance(wanted, typing.TypeVar):
            return self._any_of(wanted.__constraints__ or (wanted.__bound__ or Any,), depth)
        if isinstance(wanted, typing.ForwardRef):
            return self.of_type(self._evaluate(wanted.__forward_arg__), depth + 1)
        if isinstance(wanted, type) and wanted in self.values:
            return self.values[wanted]
        if _hashable(wanted) and wanted in SIMPLE:
            return SIMPLE[wanted]
        return self._of_generic(wanted, depth)

    def _of_generic(self, wanted: Any, depth: int) -> str | None:
        origin, inner = typing.get_origin(wanted) or wanted, typing.get_args(wanted)
        if origin in (typing.Union, types.UnionType):
            return self._any_of(inner, depth)
        if origin is typing.Literal:
            return f"st.sampled_from({list(inner)!r})"
        if origin is tuple:
            return self._of_tuple(inner, depth)
        return self._of_container(origin, [self.of_type(each, depth + 1) for each in inner or (Any, Any)])

    @staticmethod
    def _of_container(origin: Any, parts: list[str | None]) -> str | None:
        if None in parts or not _hashable(origin):
            return None
        if origin in LISTS:
            return f"st.lists({parts[0]}, max_size=4)"
        if origin in SETS:
            return f"st.frozensets({parts[0]}, max_size=4)"
        if origin in DICTS and len(parts) > 1:
            return f"st.dictionaries({parts[0]}, {parts[1]}, max_size=4)"
        return None

    def _of_tuple(self, inner: tuple[Any, ...], depth: int) -> str | None:
        if len(inner) == 2 and inner[1] is Ellipsis:  # noqa: PLR2004 - tuple[X, ...]
            one = self.of_type(inner[0], depth + 1)
            return one and f"st.lists({one}, min_size=1, max_size=4).map(tuple)"
        parts = [self.of_type(each, depth + 1) for each in inner]
        return None if None in parts or not parts else f"st.tuples({', '.join(filter(None, parts))})"

    def _any_of(self, wanted: Iterable[Any], depth: int) -> str | None:
        parts = [part for each in wanted if (part := self.of_type(each, depth + 1)) is not None]
        return " | ".join(dict.fromkeys(parts)) or None


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
