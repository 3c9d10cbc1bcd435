"""Schemas of front matter: what they may say, what they find, and that none of them costs the service its time."""

import time
from typing import Any

import pytest

from automesh.core.errors import ValidationError
from services.doc.domain.documents.text import read
from services.doc.domain.spaces.space import Level, Rules
from services.doc.domain.validation.policy import check_rules
from services.doc.domain.validation.schema import FrontMatterSchema, SchemaTooCostly, check_schema
from services.doc.domain.validation.schema_cache import SchemaCache

GUIDE = {
    "type": "object",
    "required": ["title", "owner"],
    "properties": {
        "title": {"type": "string", "minLength": 3},
        "owner": {"type": "string", "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "items": {"enum": ["howto", "adr"]}, "uniqueItems": True},
        "review": {"$ref": "#/$defs/day"},
    },
    "patternProperties": {"^x-": {"type": "number"}},
    "additionalProperties": False,
    "$defs": {"day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}},
}
GOOD = {"title": "Start", "owner": "ann", "tags": ["howto"], "review": "2026-11-26", "x-order": 3}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"title": "S"}, "title"),
        ({"owner": "Ann!"}, "owner"),
        ({"tags": ["howto", "howto"]}, "tags"),
        ({"tags": ["other"]}, "tags.0"),
        ({"review": "soon"}, "review"),
        ({"x-order": "3"}, "x-order"),
        ({"status": "draft"}, ""),
    ],
)
def test_what_does_not_satisfy_the_schema_is_named(change: dict[str, Any], path: str) -> None:
    schema = FrontMatterSchema(GUIDE)
    assert schema.errors(GOOD) == []
    assert [where for where, _ in schema.errors(GOOD | change)] == [path]


def test_a_finding_stands_at_the_line_of_its_name() -> None:
    text = read("---\ntitle: Start\nowner: Ann!\n---\n# Start\n", "a.md", max_bytes=1000)
    (hit,) = SchemaCache().hits(GUIDE, text)
    assert (hit.line, "owner" in hit.message) == (3, True)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "text"}, "type"),
        ({"$ref": "https://example.org/schema.json"}, "leads elsewhere"),
        ({"properties": {"a": {"$ref": "other.json#/x"}}}, "leads elsewhere"),
        ({"$schema": "http://json-schema.org/draft-07/schema"}, "2020-12"),
        ({"properties": {"a": {"pattern": "("}}}, "pattern"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "look-around"),
        ({"properties": {"a": {"$id": "https://example.org/", "type": "string"}}}, "$id"),
        ({"patternProperties": {"(a+)+$": {}}, "unevaluatedProperties": False}, "cannot be used together"),
        ({"properties": {str(number): {} for number in range(3000)}}, "more than 2000 values"),
        ({"description": "x" * 70_000}, "bytes"),
        ({"properties": {"a": [1]}}, "a"),
    ],
)
def test_a_schema_that_is_not_usable_is_refused_with_the_reason(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as error:
        check_schema(schema)
    assert told in error.value.message
    assert error.value.violations[0].field == "space.rules.front_matter_schema"


def deep(levels: int) -> dict[str, Any]:
    return {"not": deep(levels - 1)} if levels else {}


def test_a_deep_schema_is_refused() -> None:
    with pytest.raises(ValidationError, match="levels"):
        check_schema(deep(40))


def test_patterns_take_linear_time() -> None:
    schema = FrontMatterSchema({"properties": {"a": {"pattern": "^(a+)+$"}}})
    began = time.process_time()
    assert len(schema.errors({"a": "a" * 50_000 + "!"})) == 1
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#/$defs/0"}]}
        | {"$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(40)} | {"40": {}}},
    ],
    ids=["itself", "doubling"],
)
def test_a_schema_that_multiplies_ends_soon(schema: dict[str, Any]) -> None:
    ready = FrontMatterSchema(schema)
    began = time.process_time()
    with pytest.raises(SchemaTooCostly):
        ready.errors({"a": 1})
    assert time.process_time() - began < 20


def test_a_schema_that_costs_too_much_is_told_as_a_finding() -> None:
    (hit,) = SchemaCache().hits({"$ref": "#"}, read("# a\n", "a.md", max_bytes=100))
    assert "its owners mend it" in hit.message


def test_levels_of_rules_that_are_not_there_are_refused_with_those_that_are() -> None:
    with pytest.raises(ValidationError, match=r"'broken-lnk'.*broken-link"):
        check_rules(Rules(levels={"broken-lnk": Level.WARN}))
    check_rules(Rules(levels={"broken-link": Level.REFUSE}, front_matter_schema=GUIDE))
