"""Names that a public module offers although a hidden one (`_client`) makes them: told of where they are offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.agent.reference.source import Class, Function, Module, Value

STAR = "*"
_HANDED_ON = 8
"""So often a name may be handed on from module to module; more is a circle."""


def is_hidden(name: str) -> bool:
    """Whether a module, or a package that it lies in, begins with "_"."""
    return any(part.startswith("_") for part in name.split("."))


def adopt(modules: Sequence[Module]) -> tuple[list[Module], Mapping[str, str]]:
    """The modules that people see, with what they offer; and where names of hidden modules are told of."""
    by_name = {module.name: module for module in modules}
    adopted: dict[str, str] = {}
    seen = [_with_offered(module, by_name, adopted) for module in modules if not is_hidden(module.name)]
    return seen, adopted


def _with_offered(module: Module, by_name: Mapping[str, Module], adopted: dict[str, str]) -> Module:
    classes, functions, constants = list(module.classes), list(module.functions), list(module.constants)
    kept: list[tuple[str, str]] = []
    have = {each.name for each in module.definitions}
    for shown, source in _spread(module, by_name):
        made, where = _definition(source, by_name)
        if made is None or not is_hidden(where.rpartition(".")[0]):
            kept.append((shown, source))
            continue
        adopted.setdefault(where, f"{module.name}.{shown}")
        adopted.setdefault(source, f"{module.name}.{shown}")
        if shown in have:
            continue
        have.add(shown)
        if isinstance(made, Class):
            classes.append(replace(made, name=shown))
        elif isinstance(made, Function):
            functions.append(replace(made, name=shown))
        else:
            constants.append(replace(made, name=shown))
    return replace(module, classes=classes, functions=functions, constants=constants, imported=kept)


def _spread(module: Module, by_name: Mapping[str, Module]) -> list[tuple[str, str]]:
    """What is imported, with each star in the place of the names behind it."""
    spread: list[tuple[str, str]] = []
    for shown, source in module.imported:
        if shown != STAR:
            spread.append((shown, source))
            continue
        behind = by_name.get(source)
        names = _names(behind) if behind is not None else []
        spread += [(name, f"{source}.{name}") for name in names if module.offered is None or name in module.offered]
    return spread


def _names(module: Module) -> list[str]:
    own = [each.name for each in module.definitions]
    return [*own, *(shown for shown, _ in module.imported if shown != STAR)]


def _definition(source: str, by_name: Mapping[str, Module]) -> tuple[Class | Function | Value | None, str]:
    """What makes the name, and its full name there."""
    for _ in range(_HANDED_ON):
        home, _, name = source.rpartition(".")
        module = by_name.get(home)
        if module is None:
            return None, source
        for each in module.definitions:
            if each.name == name:
                return each, source
        behind = dict(_spread(module, by_name)).get(name, "")
        if not behind:
            return None, source
        source = behind
    return None, source
