"""Jinja, sandboxed: no attributes of the interpreter, no changes of values, no other templates, no endless sums."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.doc.templating.filters import FILTERS

MOST_ROUNDS = 10_000
"""Of a range."""
MOST_REPEATED = 1_000_000
"""Characters or items that a multiplication makes."""
MOST_BITS = 20_000
"""Of a power."""
_ALONE = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class TooCostly(Exception):
    """The template asks for more than it may have."""


class Sandbox(ImmutableSandboxedEnvironment):
    """What is not there is an error; sums are looked at before they are made."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        self.globals = {"range": bounded_range, "dict": dict, "namespace": self.globals["namespace"]}
        self.filters.update(FILTERS)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Raises TooCostly where the outcome would be huge."""
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, Sized) and isinstance(other, int) and len(one) * other > MOST_REPEATED:
                    raise TooCostly(f"a multiplication makes more than {MOST_REPEATED} characters or items")
        elif isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MOST_BITS:
            raise TooCostly("a power has thousands of digits")
        return super().call_binop(context, operator, left, right)


def bounded_range(*bounds: int) -> range:
    """Raises TooCostly for one that takes too many rounds."""
    made = range(*bounds)
    if made[MOST_ROUNDS : MOST_ROUNDS + 1]:
        raise TooCostly(f"range takes more than {MOST_ROUNDS} rounds")
    return made


def parsed(sandbox: Sandbox, source: str) -> nodes.Template:
    """Raises TemplateSyntaxError, also for one that is made of others."""
    tree = sandbox.parse(source)
    for node in tree.find_all(_ALONE):
        raise TemplateSyntaxError("a template stands alone: include, import and extends are not there", node.lineno)
    return tree
