"""Modules to pages of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from services.agent.reference.docstrings import Item, Section, parse
from services.agent.reference.markdown import Link, code, inline, to_markdown
from services.agent.reference.names import Names, page_of
from services.agent.reference.source import Class, Function, Module, Value

MAX_PAGE = 1024 * 1024
"""Bytes; what would come after them is left out, and the page says so."""
_CUT = "\n*What follows is left out: the page would be too large.*\n"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Docstrings may have it; no document has NUL, and no reader wants the rest."""
_MAX_OVERVIEW = 1000
"""Names; a module of more is told of without a list of them, which would leave no room for what they are."""
_WIDTH = 88


def module_page(module: Module, names: Names, package: str, inside: Sequence[Module] = ()) -> str:
    """The page of a module; `inside` are the modules of a package."""
    page = page_of(module.name, package, is_package=module.is_package)
    return _bounded(_Page(module, names, page).parts(inside, package))


class _Page:
    def __init__(self, module: Module, names: Names, page: str) -> None:
        self._module, self._page = module, page
        self._names = names

    def parts(self, inside: Sequence[Module], package: str) -> Iterator[str]:
        module = self._module
        yield f"# {code(module.name)}\n"
        yield self._described(module.doc, self._link())
        yield self._modules(inside, package)
        yield self._imported(module)
        yield self._overview(module)
        if module.classes:
            yield "\n## Classes\n"
        for each in module.classes:
            yield from self._class(each)
        if module.functions:
            yield "\n## Functions\n"
        for function in module.functions:
            yield self._function(function, "###", function.name, self._link())
        if module.constants:
            yield "\n## Constants\n\n" + self._values(module.constants, self._link())

    def _link(self, cls: str = "") -> Link:
        return partial(self._names.link, module=self._module.name, cls=cls, page=self._page)

    def _modules(self, inside: Sequence[Module], package: str) -> str:
        if not inside:
            return ""
        rows = []
        for each in inside:
            to = self._link()(each.name)
            rows.append(f"| [{code(each.name)}]({to}) | {_cell(inline(parse(each.doc).summary, self._link()))} |\n")
        return "\n## Modules\n\n| module | what it is |\n|---|---|\n" + "".join(rows)

    def _imported(self, module: Module) -> str:
        shown = [(name, source, self._link()(source)) for name, source in module.imported]
        rows = [f"- {code(name)}: [{code(source)}]({to})\n" for name, source, to in shown if to]
        return "\n**Offered from here**\n\n" + "".join(rows) if rows else ""

    def _overview(self, module: Module) -> str:
        rows: list[str] = []
        if len(module.definitions) > _MAX_OVERVIEW:
            return ""
        for each in module.definitions[: len(module.classes) + len(module.functions)]:
            what = _cell(inline(parse(each.doc).summary, self._link()))
            rows.append(f"| [{code(each.name)}]({self._link()(each.name)}) | {what} |\n")
        return "\n| name | what it is |\n|---|---|\n" + "".join(rows) if len(rows) > 1 else ""

    def _class(self, cls: Class) -> Iterator[str]:
        link = self._link(cls.name)
        bases = f"({', '.join(cls.bases)})" if cls.bases else ""
        lines = [*(f"@{each}" for each in cls.decorators), f"class {cls.name}{bases}"]
        if cls.init:
            lines.append(_wrapped(cls.name, cls.init))
        yield f"\n### {code(cls.name)}\n\n{_fence(lines)}"
        known = [f"[{code(base)}]({to})" for base in cls.bases if (to := link(base.partition("[")[0]))]
        if known:
            yield f"\nA kind of {', '.join(known)}.\n"
        yield self._described(cls.doc, link)
        if cls.attributes:
            yield "\n**Attributes**\n\n" + self._values(cls.attributes, link)
        for method in cls.methods:
            yield self._function(method, "####", f"{cls.name}.{method.name}", link)

    def _function(self, function: Function, level: str, name: str, link: Link) -> str:
        word = "async def" if function.is_async else "def"
        head = _wrapped(f"{word} {function.name}", function.signature)
        if function.is_property:
            head = f"{function.name}: {function.signature.partition('-> ')[2] or 'property'}"
            decorators = ["@property"]
        else:
            decorators = [f"@{each}" for each in function.decorators]
        return f"\n{level} {code(name)}\n\n{_fence([*decorators, head])}{self._described(function.doc, link)}"

    def _described(self, doc: str, link: Link) -> str:
        if not doc:
            return ""
        parsed = parse(doc)
        parts = [to_markdown(parsed.text, link), *(_section(each, link) for each in parsed.sections)]
        return "".join(f"\n{part}\n" for part in parts if part.strip())

    def _values(self, values: Sequence[Value], link: Link) -> str:
        rows = []
        for each in values:
            shown = " ".join(filter(None, [_typed(each.type, link), code(f"= {each.value}") if each.value else ""]))
            rows.append(f"| {code(each.name)} | {_cell(shown)} | {_cell(_line(each.doc, link))} |\n")
        return "| name | type and value | what it is |\n|---|---|---|\n" + "".join(rows)


def _section(section: Section, link: Link) -> str:
    if not section.items:
        text = to_markdown(section.text, link)
        return f"**{section.title}**\n\n{text}" if text else ""
    return f"**{section.title}**\n\n" + "\n".join(_item(each, section.title, link) for each in section.items)


def _item(item: Item, title: str, link: Link) -> str:
    name = code(item.name) if item.name else ""
    kind = _typed(item.type, link)
    head = " ".join(filter(None, [name, f"({kind})" if name and kind else kind]))
    text = to_markdown(item.text, link).replace("\n", "\n  ")
    text = "\n".join(line.rstrip() for line in text.splitlines())
    return f"- {head}: {text}" if head and text else f"- {head or text or title}"


def _typed(kind: str, link: Link) -> str:
    if not kind:
        return ""
    to = link(kind.strip("`"))
    return f"[{code(kind)}]({to})" if to else code(kind.strip("`"))


def _line(doc: str, link: Link) -> str:
    return inline(" ".join(doc.split()), link)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _fence(lines: Sequence[str]) -> str:
    return "```python\n" + "\n".join(lines).replace("```", "'''") + "\n```\n"


def _wrapped(name: str, signature: str) -> str:
    """A signature that is too long for a line gets a line for each parameter."""
    if len(name) + len(signature) <= _WIDTH:
        return f"{name}{signature}"
    inside, after = _split(signature)
    parameters = _parameters(inside)
    return f"{name}(\n" + "".join(f"    {each},\n" for each in parameters) + f"){after}"


def _split(signature: str) -> tuple[str, str]:
    depth = 0
    for at, char in enumerate(signature):
        depth += (char in "([{") - (char in ")]}")
        if not depth:
            return signature[1:at], signature[at + 1 :]
    return signature[1:], ""  # cut off for its length


def _parameters(text: str) -> list[str]:
    found, depth, start, quote = [], 0, 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        depth += (char in "([{") - (char in ")]}") if not quote else 0
        if char == "," and not depth and not quote:
            found.append(text[start:at].strip())
            start = at + 1
    return [*found, text[start:].strip()] if text[start:].strip() else found


def _bounded(parts: Iterator[str]) -> str:
    kept, size = [], 0
    for part in parts:
        size += len(part.encode("utf-8", "replace"))
        if size > MAX_PAGE:
            kept.append(_CUT)
            break
        kept.append(part)
    text = "".join(kept).encode("utf-8", "replace").decode("utf-8")
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
