"""Which page and which anchor tells of a name, so that pages can link to each other."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from automesh.core.anchors import anchors_of
from services.agent.reference.source import Module

INDEX = "index.md"
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{at}" for kind in ("com", "lpt") for at in range(1, 10))})
"""Names that Windows keeps for devices: no space has a document at them."""
_TELLING = 4


def page_of(module: str, package: str, *, is_package: bool) -> str:
    """Where the page of a module is, below the folder of the whole: pkg.a.b -> a/b.md, a package -> a/index.md."""
    parts = [f"{part}_" if part.lower() in _DEVICES else part for part in module.split(".")[len(package.split(".")) :]]
    if is_package or not parts:
        return "/".join([*parts, INDEX])
    return "/".join(parts) + ("_.md" if parts[-1].lower() == "index" else ".md")  # index.md tells of the package


def headings(module: Module) -> list[str]:
    """The headings of a module's page, in the order in which they stand there."""
    found = [module.name]
    if module.classes:
        found.append("Classes")
    for each in module.classes:
        found += [each.name, *(f"{each.name}.{method.name}" for method in each.methods)]
    if module.functions:
        found.append("Functions")
    found += [each.name for each in module.functions]
    return found


class Names:
    """Full names of everything, with page and anchor."""

    def __init__(self, modules: Sequence[Module], package: str, adopted: Mapping[str, str] | None = None) -> None:
        """`adopted`: where names of hidden modules are told of."""
        self.places: dict[str, tuple[str, str]] = {}
        self._short: dict[str, list[str]] = {}
        for module in modules:
            page = page_of(module.name, package, is_package=module.is_package)
            self._add(module.name, page, "")
            texts = headings(module)[1:]
            for text, anchor in zip(texts, anchors_of(headings(module))[1:], strict=True):
                if text not in ("Classes", "Functions"):
                    self._add(f"{module.name}.{text}", page, anchor)
            for constant in module.constants:
                self._add(f"{module.name}.{constant.name}", page, "constants")
        offered = {f"{module.name}.{shown}": source for module in modules for shown, source in module.imported}
        self._aliases: Mapping[str, str] = {**offered, **(adopted or {})}

    def _add(self, name: str, page: str, anchor: str) -> None:
        self.places.setdefault(name, (page, anchor))
        self._short.setdefault(name.rpartition(".")[2], []).append(name)

    def link(self, name: str, *, module: str, cls: str = "", page: str = "") -> str:
        """A link from `page` to what `name` means in that module or class; empty when nobody knows."""
        found = self.find(name, module=module, cls=cls)
        if not found:
            return ""
        target, anchor = self.places[found]
        path = "" if target == page else posixpath.relpath(target, posixpath.dirname(page) or ".")
        return path + (f"#{anchor}" if anchor else "") or posixpath.basename(page)

    def find(self, name: str, *, module: str, cls: str = "") -> str:
        """The full name: of the class, the module, the package; or the only one that ends so."""
        scopes = (
            [f"{module}.{cls}", module, module.rpartition(".")[0], ""]
            if cls
            else [module, module.rpartition(".")[0], ""]
        )
        for scope in scopes:
            full = self._resolved(f"{scope}.{name}" if scope else name)
            if full in self.places:
                return full
        same = self._short.get(name, []) if "." not in name else []
        telling = len(name) >= _TELLING and not name.islower()  # a common word is no name
        return same[0] if len(same) == 1 and telling else ""

    def _resolved(self, name: str) -> str:
        for _ in range(8):  # names may be handed on from package to package, and in a circle
            if name in self.places or name not in self._aliases:
                break
            name = self._aliases[name]
        return name
