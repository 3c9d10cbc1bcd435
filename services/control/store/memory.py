"""The last known instances in a file, so that control, started again, does not begin with an empty mesh."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import structlog

from services.control.domain.instance import Instance

log = structlog.get_logger(__name__)

FORMAT = 1


class FileMemory:
    """A `services.control.domain.ports.Memory`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def save(self, instances: Sequence[Instance]) -> None:
        """See Memory.save."""
        try:
            await asyncio.to_thread(_replace, self._path, _encode(instances))
        except OSError as error:
            log.warning("cannot remember the catalogue", path=str(self._path), error=str(error))

    def load(self) -> tuple[Instance, ...]:
        """What was saved last; nothing when there is no file, or one that cannot be read."""
        try:
            return _decode(self._path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("cannot read the remembered catalogue", path=str(self._path), error=repr(error))
            return ()


def _encode(instances: Sequence[Instance]) -> bytes:
    rows = [{**asdict(instance), "metadata": dict(instance.metadata)} for instance in instances]
    return json.dumps({"format": FORMAT, "instances": rows}).encode()


def _decode(content: bytes) -> tuple[Instance, ...]:
    document = json.loads(content)
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']} is not {FORMAT}")
    return tuple(Instance(**row) for row in document["instances"])


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)
