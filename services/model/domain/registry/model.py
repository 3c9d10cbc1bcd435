"""A model: a named series of versions, with aliases that point at some of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from automesh.core.errors import ValidationError
from services.model.domain.alias import check_alias
from services.model.domain.registry.gates import AliasGates

MAX_NAME = 200
MAX_DESCRIPTION = 4096
MAX_TAGS = 64
MAX_TAG = 100
MAX_ALIASES = 50
MAX_BATCH_SIZE = 4096
MAX_DELAY_US = 1_000_000
MAX_QUEUE = 100_000
_ID = re.compile(r"model_[0-9a-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions:
    """How a model is served. 0 and None mean the defaults that serving has."""

    max_batch_size: int = 0
    max_delay_us: int | None = None
    max_queue: int = 0

    def __post_init__(self) -> None:
        _check_range("serving.max_batch_size", self.max_batch_size, MAX_BATCH_SIZE)
        _check_range("serving.max_delay_us", self.max_delay_us or 0, MAX_DELAY_US)
        _check_range("serving.max_queue", self.max_queue, MAX_QUEUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelText:
    """What people may write about a model; checked here, so that no invalid one exists."""

    name: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    gates: tuple[AliasGates, ...] = ()
    serving: ServingOptions = field(default_factory=ServingOptions)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_description(self.description)
        check_tags(self.tags)
        for gates in self.gates:
            check_alias(gates.alias, field="model.gates.alias")
        aliases = [gates.alias for gates in self.gates]
        if len(aliases) > MAX_ALIASES or len(set(aliases)) < len(aliases):
            raise ValidationError(
                f"gates stand before at most {MAX_ALIASES} aliases, each named once", field="model.gates"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A stored model. `aliases` maps each alias to its version; `latest_version` is 0 before the first."""

    model_id: str
    tenant_id: str
    text: ModelText
    created_by: str
    created_at: datetime
    updated_at: datetime
    aliases: Mapping[str, int] = field(default_factory=dict)
    latest_version: int = 0

    def edit(self, text: ModelText) -> Model:
        """The model with another text."""
        return replace(self, text=text)

    def gates_of(self, alias: str) -> AliasGates:
        """The gates in front of an alias; none is an answer too."""
        return next((each for each in self.text.gates if each.alias == alias), AliasGates(alias))


def check_name(name: str, *, field: str = "model.name") -> None:
    """Raises ValidationError unless people and serving can use it as a name."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise ValidationError(
            f"a model's name has 1 to {MAX_NAME} printable characters, no space at its ends: not {name[:80]!r}",
            field=field,
        )
    if _ID.fullmatch(name) or name in {".", ".."}:
        raise ValidationError(
            f"{name!r} cannot be a model's name: requests that name it would be taken for another's id, or go astray",
            field=field,
        )


def check_description(text: str, *, field: str = "model.description") -> None:
    """Raises ValidationError for a text that is too long or holds a zero character, which no database keeps."""
    if len(text) > MAX_DESCRIPTION or "\0" in text:
        raise ValidationError(
            f"a description has at most {MAX_DESCRIPTION} characters, not {len(text)}, and no zero among them",
            field=field,
        )


def check_tags(tags: Mapping[str, str], *, field: str = "model.tags") -> None:
    """Raises ValidationError for too many tags, or one that is too long."""
    if len(tags) > MAX_TAGS:
        raise ValidationError(f"{len(tags)} tags are more than {MAX_TAGS}", field=field)
    for key, value in tags.items():
        if not 1 <= len(key) <= MAX_TAG or len(value) > MAX_TAG or "\0" in key + value:
            raise ValidationError(
                f"keys and values of tags have at most {MAX_TAG} characters; {key[:80]!r} does not fit", field=field
            )


def _check_range(field: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise ValidationError(f"{field} is {value}, not between 0 and {most}", field=f"model.{field}")
