"""What templates can and cannot do: filled in in this process, without the bounds of the worker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.doc.templating.render import answer

LIMITS = {"output": 10_000}


def fill(body: str, **values: Any) -> dict[str, Any]:
    return answer({"op": "render", "parts": {"body": body}, "values": values, "limits": LIMITS})


def made(body: str, **values: Any) -> str:
    said = fill(body, **values)
    assert said["state"] == "done", said
    return str(said["parts"]["body"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{{ 'Über Größe: Use a_Cache!' | slug }}", "uber-grosse-use-a-cache"),
        ("{{ '???' | slug }}", ""),
        ("{{ day | date }} {{ day | date('%d %B %Y') }}", "2026-01-31 31 January 2026"),
        ("{{ day | days(30) }}", "2026-03-02"),
        ("{{ items | bullets }}", "- a\n- b|c"),
        ("{{ items | checklist }}", "- [ ] a\n- [ ] b|c"),
        ("{{ items | numbered }}", "1. a\n2. b|c"),
        ("{{ text | quote }}", "> one\n>\n> two"),
        ("{{ 'a|b\nc' | cell }}", "a\\|b c"),
        ("title: {{ 'a: \"b\" é' | yaml }}", 'title: "a: \\"b\\" é"'),
        ("{{ 'a b' | title }}", "A B"),
        ("{{ text | indent(2) }}", "one\n\n  two"),
        ("{% for x in items %}\n* {{ x }}\n{% endfor %}\nend\n", "* a\n* b|c\nend\n"),
        ("{% set n = namespace(v=1) %}{% for x in items %}{% set n.v = n.v * 3 %}{% endfor %}{{ n.v }}", "9"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('&') }}", "<&>"),
        ("{{ range(3) | join(',') }} {{ 2 ** 10 }} {{ 'ab' * 2 }}", "0,1,2 1024 abab"),
    ],
)
def test_a_template_makes_text(body: str, expected: str) -> None:
    assert made(body, day="2026-01-31", items=["a", "b|c"], text="one\n\ntwo") == expected


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        ("a\n{{ titel }}", 2, "'titel' is undefined"),
        ("a\n\n{{ x", 3, "end of template"),
        ("{% if x %}", 1, "endif"),
        ("{{ x | nothing }}", 1, "No filter named 'nothing'"),
        ("\n{{ 'soon' | date }}", 2, "'soon' is no day"),
        ("{{ ''.__class__.__mro__ }}", 1, "unsafe"),
        ("{{ x | attr('__class__') }}", 1, "unsafe"),
        ("{{ '{0.__class__}'.format(x) }}", 1, "unsafe"),
        ("{{ range.__globals__ }}", 1, "unsafe"),
        ("{{ [].append(1) }}", 1, "unsafe"),
        ("{{ namespace.__init__.__globals__ }}", 1, "unsafe"),
        ("a\n{% include 'x' %}", 2, "stands alone"),
        ("{% import 'x' as y %}", 1, "stands alone"),
        ("{% from 'x' import y %}", 1, "stands alone"),
        ("{% extends 'x' %}", 1, "stands alone"),
        ("{{ lipsum() }}", 1, "undefined"),
        ("{{ 1 / 0 }}", 1, "division"),
        ("{{ '\\ud800' }}", 0, "half a character"),
        ("{% for x in [1] %}" * 30 + "{% endfor %}" * 30, 0, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(body: str, line: int, told: str) -> None:
    said = fill(body, x="a")
    assert (said["state"], said["part"], said["line"]) == ("wrong", "body", line)
    assert told in said["message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("{{ 'a' * 10**9 }}", "multiplication"),
        ("{{ 10**9 * 'a' }}", "multiplication"),
        ("{{ [1] * 10**9 }}", "multiplication"),
        ("{{ 9 ** 99999999 }}", "power"),
        ("{% for i in range(10**12) %}x{% endfor %}", "range"),
        ("{% for i in range(10**30) %}x{% endfor %}", "range"),
        ("{% for i in range(9999) %}xx{% endfor %}", "10000 bytes"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested"),
    ],
)
def test_what_would_cost_too_much_is_not_begun(body: str, told: str) -> None:
    said = fill(body)
    assert said["state"] == "costly"
    assert told in said["message"]


def test_names_that_a_template_asks_for_are_told_with_their_lines() -> None:
    body = "{{ a }}\n{% for b in c %}{{ b }}{{ loop.index }}{% endfor %}\n{% set d = 1 %}{{ d }}{{ range(2) }}{{ a }}"
    said = answer({"op": "check", "parts": {"body": body, "path": "{{ e | slug }}.md"}, "limits": LIMITS})
    assert said["names"] == [["body", "a", 1], ["body", "c", 2], ["path", "e", 1]]


def test_every_part_is_filled_in_and_the_one_that_is_wrong_is_named() -> None:
    job = {"op": "render", "parts": {"body": "{{ x }}", "path": "{{ y }}"}, "values": {"x": 1}, "limits": LIMITS}
    assert answer(job | {"values": {"x": 1, "y": 2}})["parts"] == {"body": "1", "path": "2"}
    assert answer(job)["part"] == "path"


PIECES = [
    *("{{", "}}", "{%", "%}", "{#", "#}", "for", "in", "if", "set", "x", "2", "é", "'"),
    *("|", "(", ")", "[", "]", ".", "*", "-", "%", "=", "~", " ", "\n"),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_no_template_makes_the_renderer_fail(body: str) -> None:
    assert fill(body, x="a")["state"] in {"done", "wrong", "costly"}
