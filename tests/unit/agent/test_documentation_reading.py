"""Reading a package by its syntax tree: signatures, docstrings of all shapes, what is offered from hidden modules."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agent.reference.adoption import adopt
from services.agent.reference.docstrings import Item, parse
from services.agent.reference.markdown import code, inline, to_markdown
from services.agent.reference.names import Names
from services.agent.reference.reading import read_module
from services.agent.reference.source import Module
from services.doc.domain.markdown.outline import outline


def module(text: str, name: str = "pkg.mod", *, is_package: bool = False, private: bool = False) -> Module:
    return read_module(name, text, is_package=is_package, private=private)


def nowhere(_name: str) -> str:
    return ""


# ---------------------------------------------------------------------- source
@pytest.mark.parametrize(
    ("source", "signature"),
    [
        ("def f(): ...", "()"),
        ("def f(a, b=1, *c, d, e=2, **g) -> int: ...", "(a, b=1, *c, d, e=2, **g) -> int"),
        ("def f(a: int, /, b: str = 'x', *, c: bool = True): ...", "(a: int, /, b: str = 'x', *, c: bool = True)"),
        ("def f(*, a): ...", "(*, a)"),
        ("def f(a=(1, {'b': [2]}), *args: int): ...", "(a=(1, {'b': [2]}), *args: int)"),
        ("async def f(a: 'list[int]' = []) -> None: ...", "(a: 'list[int]' = []) -> None"),
    ],
)
def test_a_signature_is_what_python_would_read(source: str, signature: str) -> None:
    [function] = module(source).functions
    assert function.signature == signature
    ast.parse(f"def f{function.signature}: ...")


def test_methods_lose_their_first_parameter_and_static_ones_keep_it() -> None:
    source = '''
class A(Base, metaclass=M):
    """Doc."""
    size: int = 3
    """How large."""
    def __init__(self, a: int = 1, *b): self._a = a
    def one(self, x=2): ...
    @staticmethod
    def two(x): ...
    @classmethod
    def three(cls, /, x): ...
    @property
    def four(self) -> int:
        """Read it."""
    @four.setter
    def four(self, value): ...
    def _hidden(self): ...
    def __repr__(self): ...
    def __call__(self):
        """Called."""
'''
    [cls] = module(source).classes
    assert (cls.bases, cls.init, cls.doc) == (["Base", "metaclass=M"], "(a: int = 1, *b)", "Doc.")
    assert [(each.name, each.signature) for each in cls.methods] == [
        ("one", "(x=2)"),
        ("two", "(x)"),
        ("three", "(x)"),
        ("four", "() -> int"),
        ("__call__", "()"),
    ]
    assert [each.is_property for each in cls.methods] == [False, False, False, True, False]
    assert (cls.attributes[0].type, cls.attributes[0].value, cls.attributes[0].doc) == ("int", "3", "How large.")


def test_a_dataclass_is_made_of_its_fields() -> None:
    source = "@dataclass(frozen=True)\nclass A:\n    x: int\n    y: str = 'a'\n    z: ClassVar[int] = 3\n"
    assert module(source).classes[0].init == "(x: int, y: str = 'a')"


def test_what_all_names_is_shown_and_nothing_else() -> None:
    source = "__all__ = ['a', '_b']\ndef a(): ...\ndef _b(): ...\ndef c(): ...\nX = 1\n"
    assert [each.name for each in module(source).functions] == ["a", "_b"]
    assert module(source).constants == []
    assert [each.name for each in module(source, private=True).functions] == ["a", "_b", "c"]


def test_definitions_in_branches_are_found_and_what_only_a_program_runs_is_not() -> None:
    source = "if X:\n    def a(): ...\nelse:\n    def b(): ...\ntry:\n    def c(): ...\nexcept E:\n    def d(): ...\n"
    source += "if __name__ == '__main__':\n    def e(): ...\n"
    assert [each.name for each in module(source).functions] == ["a", "b", "c", "d"]


def test_source_is_read_and_never_run() -> None:
    assert module("import no_such_module\nraise SystemExit\ndef f(): ...\n").functions[0].name == "f"


def test_names_of_hidden_modules_are_told_of_where_they_are_offered() -> None:
    package = module("from ._client import Client as Http, _secret\nfrom ._api import *\n", "pkg", is_package=True)
    client = module('class Client:\n    """A client."""\nclass Other: ...\n', "pkg._client")
    api = module("__all__ = ['get']\nfrom ._client import Client\ndef get(): ...\ndef put(): ...\n", "pkg._api")
    seen, adopted = adopt([package, client, api])
    assert [each.name for each in seen] == ["pkg"]
    assert [each.name for each in seen[0].classes] == ["Http"]
    assert [each.name for each in seen[0].functions] == ["get"]
    names = Names(seen, "pkg", adopted)
    assert names.link("pkg._client.Client", module="pkg", page="index.md") == "#http"


def test_a_circle_of_imports_ends() -> None:
    one = module("from ._b import x\n", "pkg", is_package=True)
    two, three = module("from ._c import *\n", "pkg._b"), module("from ._b import *\n", "pkg._c")
    seen, _ = adopt([one, two, three])
    assert seen[0].classes == []


# ---------------------------------------------------------------------- docstrings
GOOGLE = """Opens it.

More words.

Args:
    path (str, optional): Where it is.
        On two lines.
    *rest: The others.

Returns:
    Handle: What was opened.

Raises:
    OSError: If it is not there.

Example:
    >>> open_it("a")
"""
NUMPY = """Opens it.

More words.

Parameters
----------
path : str, optional
    Where it is.
    On two lines.
*rest
    The others.

Returns
-------
Handle
    What was opened.

Raises
------
OSError
    If it is not there.

Examples
--------
>>> open_it("a")
"""
REST = """Opens it.

More words.

:param path: Where it is.
    On two lines.
:type path: str, optional
:param rest: The others.
:returns: What was opened.
:rtype: Handle
:raises OSError: If it is not there.
"""


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_the_three_shapes_say_the_same(doc: str) -> None:
    parsed = parse(doc)
    sections = {each.title: each for each in parsed.sections}
    assert parsed.text == "Opens it.\n\nMore words."
    assert parsed.summary == "Opens it."
    first, second = sections["Parameters"].items
    assert first == Item("path", "str, optional", "Where it is.\nOn two lines.")
    assert (second.name.lstrip("*"), second.text) == ("rest", "The others.")
    assert sections["Returns"].items == [Item("", "Handle", "What was opened.")]
    assert sections["Raises"].items == [Item("", "OSError", "If it is not there.")]


@pytest.mark.parametrize(
    "doc", ["Args: none of them", "Note: this is text", "a: b", ":class:`A` is fine", "", "x\n---"]
)
def test_what_is_no_section_is_text(doc: str) -> None:
    assert parse(doc).sections == []
    assert parse(doc).text == doc


PIECES = st.sampled_from(
    [*"ab:-`<>*# ~\n", "\n", "Args:\n", "    ", "Parameters\n---\n", ".. note:: ", "::\n\n", "```\n", "<script>"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_docstring_breaks_the_reader_or_the_page(doc: str) -> None:
    parsed = parse(doc)
    parts = [parsed.text, *(each.text for each in parsed.sections)]
    parts += [item.text for each in parsed.sections for item in each.items]
    for part in parts:
        made = outline("# Page\n\n" + to_markdown(part, nowhere) + "\n\n# Last\n\nend")
        assert [heading.text for heading in made.headings] == ["Page", "Last"]


# ---------------------------------------------------------------------- Markdown
@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("see :class:`~a.b.Client` and :func:`get()`", "see [`Client`](x#client) and `get()`"),
        ("`words <https://x.org/a_b>`_ here", "[words](https://x.org/a_b) here"),
        ("``code`` and `name`", "`code` and `name`"),
        ("a <b> and List[<T>]", "a &lt;b> and List[&lt;T>]"),
        ("1 < 2", "1 < 2"),
        ("go to https://x.org/a.", "go to <https://x.org/a>."),
    ],
)
def test_inline_markup_becomes_markdown(text: str, markdown: str) -> None:
    assert inline(text, lambda name: "x#client" if name == "a.b.Client" else "") == markdown


def test_blocks_become_fences_and_titles_become_bold() -> None:
    text = "Title\n=====\n\nSo::\n\n    x = 1\n    y = 2\n\n.. code-block:: bash\n   :linenos:\n\n   ls -l\n\n"
    text += ".. note:: Mind it.\n\n# Head\n>>> a\n1\n"
    made = to_markdown(text, nowhere)
    assert "**Title**" in made
    assert "```python\nx = 1\ny = 2\n```" in made
    assert "```bash\nls -l\n```" in made
    assert "**Note:** Mind it." in made
    assert "**Head**\n```python\n>>> a\n1\n```" in made


@pytest.mark.parametrize("text", ["a", "a`b", "`", "``a``", "a ``` b"])
def test_code_survives_backticks(text: str) -> None:
    made = outline(f"x {code(text)} y").sections[0].text
    assert made == f"x {text} y"
