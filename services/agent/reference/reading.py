"""Python source to what is public in it, by its syntax tree alone."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Sequence

from services.agent.reference.source import Class, Function, Module, Value

MAX_VALUE = 80
"""Characters of a constant that are shown."""
MAX_SIGNATURE = 2000
MAX_DOC = 20_000

_Definition = ast.FunctionDef | ast.AsyncFunctionDef


def read_module(name: str, text: str, *, is_package: bool, private: bool = False) -> Module:
    """The module. With `private` names that begin with "_" as well. Raises SyntaxError, ValueError, RecursionError."""
    tree = ast.parse(text, f"{name.rpartition('.')[2]}.py")
    offered = _offered(tree)
    reader = _Reader(private=private, offered=offered)
    body = list(_flat(tree.body))
    return Module(
        name=name,
        is_package=is_package,
        doc=_doc(tree),
        classes=[reader.class_of(node) for node in body if isinstance(node, ast.ClassDef) and reader.shows(node.name)],
        functions=list(reader.functions(body)),
        constants=list(reader.values(body)),
        imported=list(_imported(body, name, offered, is_package=is_package)),
        offered=offered,
    )


class _Reader:
    def __init__(self, *, private: bool, offered: frozenset[str] | None) -> None:
        self._private, self._offered = private, offered

    def shows(self, name: str) -> bool:
        """What __all__ names, where there is one; else what does not begin with "_"."""
        if self._offered is not None and not self._private:
            return name in self._offered
        return self._public(name)

    def class_of(self, node: ast.ClassDef) -> Class:
        body = list(_flat(node.body))
        methods = [each for each in body if isinstance(each, _Definition)]
        return Class(
            name=node.name,
            bases=[*map(_text, node.bases), *(f"{each.arg}={_text(each.value)}" for each in node.keywords if each.arg)],
            doc=_doc(node),
            init=_init(methods, body, node),
            decorators=[_text(each) for each in node.decorator_list],
            methods=list(_methods(methods, self._public)),
            attributes=[each for each in _values(body) if self._public(each.name)],
        )

    def functions(self, body: Sequence[ast.stmt]) -> Iterator[Function]:
        """The last of several of one name, as Python has it; overloads are told by their implementation."""
        found = {node.name: node for node in body if isinstance(node, _Definition) and self.shows(node.name)}
        yield from map(_function, found.values())

    def values(self, body: Sequence[ast.stmt]) -> Iterator[Value]:
        yield from (each for each in _values(body) if self.shows(each.name) and each.name not in _OWN)

    def _public(self, name: str) -> bool:
        return self._private or not name.startswith("_")


_OWN = frozenset({"__all__", "__version__", "__author__"})
_SHOWN_METHODS = frozenset({"__call__", "__enter__", "__aenter__", "__iter__", "__aiter__", "__getitem__", "__len__"})


def _methods(nodes: Sequence[_Definition], public: Callable[[str], bool]) -> Iterator[Function]:
    found: dict[str, _Definition] = {}
    for node in nodes:
        shown = public(node.name)
        dunder = node.name.startswith("__") and node.name.endswith("__")
        setter = any(_text(each).endswith((".setter", ".deleter")) for each in node.decorator_list)
        if setter or (dunder and (node.name not in _SHOWN_METHODS or not _doc(node))) or not (shown or dunder):
            continue
        found[node.name] = node
    for node in found.values():
        yield _function(node, bound=True)


def _function(node: _Definition, *, bound: bool = False) -> Function:
    decorators = [_text(each) for each in node.decorator_list]
    static = any(each.rpartition(".")[2] == "staticmethod" for each in decorators)
    return Function(
        name=node.name,
        signature=_signature(node, skip_first=bound and not static),
        doc=_doc(node),
        is_async=isinstance(node, ast.AsyncFunctionDef),
        decorators=decorators,
    )


def _signature(node: _Definition, *, skip_first: bool) -> str:
    returns = f" -> {_text(node.returns)}" if node.returns is not None else ""
    return f"({', '.join(_arguments(node.args, skip_first=skip_first))}){returns}"[:MAX_SIGNATURE]


def _arguments(arguments: ast.arguments, *, skip_first: bool) -> Iterator[str]:
    plain = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    defaults = [*missing, *arguments.defaults]
    first = 1 if skip_first and plain else 0
    for at in range(first, len(plain)):
        yield _argument(plain[at], defaults[at])
        if at == len(arguments.posonlyargs) - 1:
            yield "/"
    if arguments.vararg is not None:
        yield f"*{_argument(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(each, default)
    if arguments.kwarg is not None:
        yield f"**{_argument(arguments.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    if argument.annotation is None:
        return argument.arg + (f"={_short(default)}" if default is not None else "")
    return f"{argument.arg}: {_text(argument.annotation)}" + (f" = {_short(default)}" if default is not None else "")


def _init(methods: Sequence[_Definition], body: Sequence[ast.stmt], node: ast.ClassDef) -> str:
    """How it is called: by __init__ or __new__, else by the fields of a dataclass."""
    for name in ("__init__", "__new__"):
        for method in methods:
            if method.name == name:
                return _signature(method, skip_first=True).partition(" -> ")[0]
    if not any("dataclass" in _text(each) for each in node.decorator_list):
        return ""
    fields = []
    for each in body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            annotation = _text(each.annotation)
            if not annotation.startswith(("ClassVar", "typing.ClassVar")):
                fields.append(f"{each.target.id}: {annotation}" + (f" = {_short(each.value)}" if each.value else ""))
    return f"({', '.join(fields)})"[:MAX_SIGNATURE]


def _values(body: Sequence[ast.stmt]) -> Iterator[Value]:
    """Names that are given a value, with the text that stands below it (as tools read it)."""
    for at, node in enumerate(body):
        doc = _text_below(body, at)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield Value(name=node.target.id, type=_text(node.annotation), value=_short(node.value), doc=doc)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield Value(name=node.targets[0].id, value=_short(node.value), doc=doc)


def _text_below(body: Sequence[ast.stmt], at: int) -> str:
    below = body[at + 1] if at + 1 < len(body) else None
    if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
        return inspect.cleandoc(below.value.value)[:MAX_DOC]
    return ""


def _offered(tree: ast.Module) -> frozenset[str] | None:
    """What a literal __all__ names; None when there is none, or one that only running would tell."""
    for node in tree.body:
        target, value = _assigned(node)
        if target == "__all__" and isinstance(value, ast.List | ast.Tuple):
            items = [each.value for each in value.elts if isinstance(each, ast.Constant)]
            return frozenset(each for each in items if isinstance(each, str))
    return None


def _assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None


def _imported(
    body: Sequence[ast.stmt], name: str, offered: frozenset[str] | None, *, is_package: bool
) -> Iterator[tuple[str, str]]:
    """What is offered by name and comes from another module of the same package."""
    top = name.partition(".")[0]
    for node in body:
        if not isinstance(node, ast.ImportFrom):
            continue
        source = _absolute(node, name, is_package=is_package)
        if source.partition(".")[0] != top:
            continue
        for each in node.names:
            shown = each.asname or each.name
            if each.name == "*":
                yield "*", source
            elif shown in offered if offered is not None else is_package and not shown.startswith("_"):
                yield shown, f"{source}.{each.name}"


def _absolute(node: ast.ImportFrom, name: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    up = node.level - (1 if is_package else 0)
    base = parts[: len(parts) - up] if up else parts
    return ".".join([*base, *([node.module] if node.module else [])])


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """With what stands in `if`, `try` and `with`: which branch is taken only running would tell."""
    for node in body:
        if isinstance(node, ast.If) and not _is_main(node.test):
            yield from _flat(node.body)
            yield from _flat(node.orelse)
        elif isinstance(node, ast.Try | ast.TryStar):
            handled = [each for handler in node.handlers for each in handler.body]
            yield from _flat([*node.body, *handled, *node.orelse, *node.finalbody])
        elif isinstance(node, ast.With):
            yield from _flat(node.body)
        else:
            yield node


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _doc(node: ast.Module | ast.ClassDef | _Definition) -> str:
    return (ast.get_docstring(node) or "")[:MAX_DOC]


def _short(node: ast.expr | None) -> str:
    text = _text(node) if node is not None else ""
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())
