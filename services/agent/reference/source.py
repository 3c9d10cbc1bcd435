"""What a package consists of, as its source says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A constant of a module or an attribute of a class. Empty: not said."""

    name: str
    type: str = ""
    value: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function or method; `signature` is what stands between its name and the colon."""

    name: str
    signature: str
    doc: str = ""
    is_async: bool = False
    decorators: Sequence[str] = ()

    @property
    def is_property(self) -> bool:
        """Whether it is read like an attribute."""
        return any(each.partition("(")[0].rpartition(".")[2] in _PROPERTIES for each in self.decorators)


_PROPERTIES = frozenset({"property", "cached_property"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """A class with what is public in it; `init` is how it is made."""

    name: str
    bases: Sequence[str] = ()
    doc: str = ""
    init: str = ""
    decorators: Sequence[str] = ()
    methods: Sequence[Function] = ()
    attributes: Sequence[Value] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module. `imported` are names that it offers although they are made elsewhere, with where ("*": all of them)."""

    name: str
    is_package: bool = False
    doc: str = ""
    classes: Sequence[Class] = ()
    functions: Sequence[Function] = ()
    constants: Sequence[Value] = ()
    imported: Sequence[tuple[str, str]] = ()
    offered: frozenset[str] | None = None
    """What __all__ names; None where there is none, or where only running would tell."""

    @property
    def definitions(self) -> Sequence[Class | Function | Value]:
        """All that has a name."""
        return [*self.classes, *self.functions, *self.constants]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell of it."""
        return not (self.doc or self.classes or self.functions or self.constants or self.imported)
