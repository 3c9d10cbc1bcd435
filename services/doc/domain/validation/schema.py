"""JSON Schemas of front matter, within bounds: no addresses are fetched, patterns take linear time, work is counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import jsonschema
import pydantic_core
from jsonschema import Draft202012Validator
from pydantic_core import core_schema
from referencing.exceptions import Unresolvable

from automesh.core.errors import ValidationError

MAX_BYTES, MAX_NODES, MAX_DEPTH = 64 * 1024, 2_000, 30
MAX_STEPS = 20_000
"""Keywords that are looked at for one page: a schema that refers to itself could ask for any number."""
MAX_ERRORS = 20
MAX_PATTERN = 500
DRAFT = "https://json-schema.org/draft/2020-12/schema"
FIELD = "space.rules.front_matter_schema"
_SHOWN = 300

_Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class SchemaTooCostly(Exception):
    """Checking took more steps than are allowed."""


class FrontMatterSchema:
    """A schema that was checked; `errors` may be called by several threads."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        check_schema(schema)
        self._lock, self._steps = threading.Lock(), 0
        self._patterns: dict[str, pydantic_core.SchemaValidator] = {}
        keywords = {name: self._counted(each) for name, each in Draft202012Validator.VALIDATORS.items()}
        keywords |= {
            "pattern": self._counted(self._pattern),
            "patternProperties": self._counted(self._pattern_properties),
            "additionalProperties": self._counted(self._additional_properties),
            "uniqueItems": self._counted(_unique_items),
        }
        extend: Callable[..., type[Any]] = jsonschema.validators.extend
        self._validator = extend(Draft202012Validator, keywords)(dict(schema))

    def errors(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Dotted path and message of each, at most MAX_ERRORS. Raises SchemaTooCostly."""
        with self._lock:
            self._steps = 0
            try:
                found = list(islice(self._validator.iter_errors(dict(values)), MAX_ERRORS))
            except (RecursionError, Unresolvable) as error:
                raise SchemaTooCostly(str(error)[:_SHOWN]) from error
        return [(".".join(map(str, error.absolute_path)), error.message[:_SHOWN]) for error in found]

    def _counted(self, keyword: _Keyword) -> _Keyword:
        def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise SchemaTooCostly(f"more than {MAX_STEPS} steps")
            yield from keyword(validator, value, instance, schema) or ()

        return counted

    def _matches(self, pattern: str, text: str) -> bool:
        if pattern not in self._patterns:
            self._patterns[pattern] = _compiled(pattern)
        return self._patterns[pattern].isinstance_python(text)

    def _pattern(self, _: Any, pattern: str, instance: Any, __: Any) -> Iterator[Any]:
        if isinstance(instance, str) and not self._matches(pattern, instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")

    def _pattern_properties(self, validator: Any, patterns: Mapping[str, Any], instance: Any, _: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            for pattern, schema in patterns.items():
                for name, value in instance.items():
                    if self._matches(pattern, name):
                        yield from validator.descend(value, schema, path=name, schema_path=pattern)

    def _additional_properties(self, validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not isinstance(instance, dict):
            return
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for name, value in instance.items():
            if name in known or any(self._matches(pattern, name) for pattern in patterns):
                continue
            if isinstance(allowed, dict):
                yield from validator.descend(value, allowed, path=name)
            elif not allowed:
                names = ", ".join(known) or "none"
                yield jsonschema.ValidationError(f"{name!r} is not among what is allowed here: {names}")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises ValidationError for one that is none, that is too large, or that asks for what is not to be had here."""
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise _wrong(f"it is no JSON: {error}") from error
    if size > MAX_BYTES:
        raise _wrong(f"it has {size} bytes, more than {MAX_BYTES}")
    nodes = list(islice(_nodes(schema), MAX_NODES + 1))
    if len(nodes) > MAX_NODES:
        raise _wrong(f"it has more than {MAX_NODES} values")
    if str(schema.get("$schema", DRAFT)).rstrip("#") != DRAFT:
        raise _wrong(f"$schema is another than {DRAFT}")
    objects = [(path, node) for path, node in nodes if isinstance(node, Mapping)]
    for path, node in objects:
        _check_node(path, node)
    if all(any(name in node for _, node in objects) for name in ("patternProperties", "unevaluatedProperties")):
        raise _wrong("patternProperties and unevaluatedProperties cannot be used together: use additionalProperties")
    try:
        Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        path = ".".join(map(str, error.absolute_path)) or "the schema"
        raise _wrong(f"{path}: {error.message[:_SHOWN]}") from error


def _nodes(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > MAX_DEPTH:
        raise _wrong(f"it has more than {MAX_DEPTH} levels")
    yield path, value
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _nodes(each, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _nodes(each, f"{path}.{number}", depth + 1)


def _check_node(path: str, node: Mapping[str, Any]) -> None:
    for name in ("$ref", "$dynamicRef"):
        reference = node.get(name)
        if isinstance(reference, str) and not reference.startswith("#"):
            raise _wrong(
                f"{path or 'the schema'}: {name} {reference[:80]!r} leads elsewhere: only #/$defs/... is followed"
            )
    if isinstance(node.get("$id"), str) and path:
        raise _wrong(f"{path}: $id is allowed at the top only")
    pattern, patterns = node.get("pattern"), node.get("patternProperties")
    for each in [pattern, *(patterns if isinstance(patterns, Mapping) else ())]:
        if isinstance(each, str):
            _check_pattern(path, each)


def _check_pattern(path: str, pattern: str) -> None:
    if len(pattern) > MAX_PATTERN:
        raise _wrong(f"{path}: a pattern has at most {MAX_PATTERN} characters")
    try:
        _compiled(pattern)
    except pydantic_core.SchemaError as error:
        told = str(error).splitlines()[-1].strip()
        raise _wrong(f"{path}: the pattern {pattern[:80]!r} cannot be used: {told[:_SHOWN]}") from error


def _compiled(pattern: str) -> pydantic_core.SchemaValidator:
    """Found anywhere in a text, in linear time; without look-around and back references."""
    return pydantic_core.SchemaValidator(
        core_schema.str_schema(strict=True, pattern=pattern, regex_engine="rust-regex")
    )


def _unique_items(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[Any]:
    if wanted and isinstance(instance, list):
        seen = {json.dumps(each, sort_keys=True, default=str) for each in instance}
        if len(seen) < len(instance):
            yield jsonschema.ValidationError("it has the same value twice")


def _wrong(message: str) -> ValidationError:
    return ValidationError(f"the schema of front matter is not usable: {message}", field=FIELD)
