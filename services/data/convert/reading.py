"""Read options and generators: messages and the domain."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf import json_format

from automesh.core.errors import ValidationError
from automesh.data.v1 import source_pb2 as pb
from services.data.domain.source import Encoding, FileFormat, Generator, ReadOptions, Waves

E = TypeVar("E", bound=StrEnum)


def read_options(message: pb.ReadOptions, path: str) -> ReadOptions:
    """How a file is read, checked; `path` is the field in the request."""
    options = ReadOptions(
        format=FileFormat(pb.FileFormat.Name(message.format)) if message.format else None,
        delimiter=message.delimiter or ",",
        encoding=_named(Encoding, message.encoding, f"{path}.encoding") or Encoding.UTF_8,
        null_values=tuple(message.null_values),
    )
    options.check(path)
    return options


def generator(message: pb.GeneratorSource, path: str) -> Generator:
    """Which rows are made up, checked; zeros mean the defaults."""
    made = Generator(
        kind=_named(Waves, message.kind, f"{path}.kind") or Waves.SINE,
        samples=message.samples or Generator().samples,
        steps=message.steps or Generator().steps,
        features=message.features or Generator().features,
        seed=message.seed,
    )
    made.check(path)
    return made


def read_options_of_json(json: Mapping[str, Any], path: str) -> ReadOptions:
    """The same from protojson."""
    try:
        return read_options(json_format.ParseDict(dict(json), pb.ReadOptions()), path)
    except json_format.ParseError as error:
        raise ValidationError(f"{path}: {error}", field=path) from error


def generator_of_json(json: Mapping[str, Any], path: str) -> Generator:
    """The same from protojson."""
    try:
        return generator(json_format.ParseDict(dict(json), pb.GeneratorSource()), path)
    except json_format.ParseError as error:
        raise ValidationError(f"{path}: {error}", field=path) from error


def _named(kinds: type[E], text: str, field: str) -> E | None:
    if not text:
        return None
    try:
        return kinds(text)
    except ValueError:
        raise ValidationError(f"{field}: {text[:40]!r} is none of {', '.join(kinds)}", field=field) from None
