"""What a module offers to be tested, and the good and bad inputs found for it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import Any

from services.agent.clients.generator.inside import mining
from services.agent.clients.generator.inside.arguments import EMPTY, TEXTS, VARIABLE, Arguments

MAX_LISTED = 40
MIN_GOOD = 2
PICKY = 0.9  # a target that takes more than this share of all texts needs no list of its own


@dataclass
class Target:
    """A function or class, with what is known to go in."""

    name: str
    path: str  # as a test writes it: module.name
    what: Any
    texts: str | None = None  # name of the strategy of good texts for its first parameter
    pattern: str = ""  # where there is one: path of a pattern whose matches are all good
    bad: dict[str, list[str]] = field(default_factory=dict)  # error's path -> texts it refuses so

    @property
    def is_class(self) -> bool:
        return inspect.isclass(self.what)


class Subject:
    """One module. `prelude` are the strategies that its tests use: name -> source.

    `trying` calls what takes a text with the texts found, to learn which are good.
    """

    def __init__(self, module: ModuleType, source: str, *, trying: bool = True) -> None:
        self.module = module
        self._trying = trying
        self.prelude: dict[str, str] = {}
        self.documented = mining.documented(module, source)
        self.patterns = mining.patterns(module)
        self._matching = {pattern: mining.samples(pattern) for pattern in self.patterns}
        sampled = [text for texts in self._matching.values() for text in texts]
        self.texts = list(dict.fromkeys([*(v for v in self.documented if isinstance(v, str)), *sampled]))
        self.arguments = Arguments(vars(module))
        self.prelude[TEXTS] = _listed(mining.spread(self.texts, MAX_LISTED), "st.text(max_size=12)")
        # Classes first, and those of neighbours too: functions and methods take their values.
        self.classes = [self._class(each) for each in self._neighbours() if inspect.isclass(each)]
        self.targets = [each for each in self.classes if each.what.__module__ == module.__name__]
        self.targets += [self._function(each) for each in _own(module) if inspect.isroutine(each)]

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Errors that are part of what the module promises."""
        top = self.module.__name__.partition(".")[0]
        own = [
            value
            for value in vars(self.module).values()
            if inspect.isclass(value) and issubclass(value, Exception) and value.__module__.partition(".")[0] == top
        ]
        return (*dict.fromkeys(own), ValueError, TypeError)

    def known(self) -> list[str | int]:
        """Good values first, for a generator that seeds its search with them."""
        return list(dict.fromkeys([*self._good, *self.documented]))

    _good: list[Any]

    def _neighbours(self) -> Iterator[Any]:
        self._good = []
        top = self.module.__name__.partition(".")[0]
        for name, value in vars(self.module).items():
            foreign = inspect.isclass(value) and value.__module__.partition(".")[0] == top
            if foreign and not name.startswith("_") and not issubclass(value, Exception):
                yield value

    def _class(self, what: type) -> Target:
        target = Target(what.__name__, f"{what.__module__}.{what.__qualname__}", what)
        values = f"{_upper(what.__name__)}_VALUES"
        if issubclass(what, Enum):
            self.prelude[values] = f"st.sampled_from({target.path})"
        elif self._find_texts(target):
            self.prelude[values] = f"{target.texts}.map({target.path})"
        else:
            arguments = self.arguments.of(what)
            if arguments is None or inspect.isabstract(what):
                return target
            given = "".join(f", {name}={strategy}" for name, strategy in arguments.items())
            self.prelude[values] = f"st.builds({target.path}{given})"
        self.arguments.values[what] = values
        return target

    def _function(self, what: Callable[..., Any]) -> Target:
        target = Target(what.__name__, f"{self.module.__name__}.{what.__name__}", what)
        self._find_texts(target)
        return target

    def _find_texts(self, target: Target) -> bool:
        if not self._trying or not _takes_text(target.what):
            return False
        good, bad = mining.tried(target.what, self.texts)
        if len(good) < MIN_GOOD:
            return False
        self._good += good
        self._note_bad(target, bad)
        if len(good) > PICKY * len(self.texts):
            target.texts = TEXTS
            return True
        listed = _listed(mining.spread(good, MAX_LISTED), "")
        target.pattern = self._pattern_of(set(good))
        same = (name for name, source in self.prelude.items() if source == listed)
        target.texts = next(same, f"{_upper(target.name)}_TEXTS")
        self.prelude[target.texts] = listed
        return True

    def _note_bad(self, target: Target, bad: list[tuple[str, type[BaseException]]]) -> None:
        for text, error in bad:
            if error in self.errors:
                path = error.__name__ if error.__module__ == "builtins" else f"{error.__module__}.{error.__name__}"
                listed = target.bad.setdefault(path, [])
                if len(listed) < MAX_LISTED // 2:
                    listed.append(text)

    def _pattern_of(self, good: set[str]) -> str:
        """Path of a pattern whose samples are all good; or nothing."""
        for pattern, sampled in self._matching.items():
            if len(sampled) >= MIN_GOOD and all(text in good for text in sampled) and (path := self._path_of(pattern)):
                return path
        return ""

    def _path_of(self, pattern: re.Pattern[str]) -> str:
        for name, value in vars(self.module).items():
            if value is pattern:
                return f"{self.module.__name__}.{name}"
            if inspect.isclass(value) and value.__module__ == self.module.__name__:
                for inner, held in vars(value).items():
                    if held is pattern:
                        return f"{self.module.__name__}.{name}.{inner}"
        return ""


def _own(module: ModuleType) -> Iterator[Any]:
    for name, value in list(vars(module).items()):
        own = getattr(value, "__module__", None) == module.__name__ and getattr(value, "__name__", "") == name
        if own and not name.startswith("_"):
            yield value


def _takes_text(what: Callable[..., Any]) -> bool:
    """Whether one text alone makes a call, as far as its signature says."""
    try:
        parameters = [each for each in inspect.signature(what).parameters.values() if each.kind not in VARIABLE]
    except (TypeError, ValueError):
        return False
    if not parameters or any(each.default is EMPTY for each in parameters[1:]):
        return False
    annotation = parameters[0].annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return parameters[0].kind is not inspect.Parameter.KEYWORD_ONLY and (annotation is EMPTY or "str" in text.lower())


def _listed(values: Sequence[Any], more: str) -> str:
    parts = [f"st.sampled_from({list(values)!r})"] if values else []
    return " | ".join([*parts, *([more] if more else [])]) or "st.text(max_size=12)"


def _upper(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
