"""Checkpoints: safetensors and JSON in a folder that appears as a whole or not at all. No pickle.

model.safetensors, optimizer.safetensors, rng.safetensors, best.safetensors (unless the model is the best itself) and
state.json, which holds the digest of each and its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.model.domain.training.errors import CheckpointDamaged, CheckpointMismatch, CheckpointNotWritten
from services.model.trainer.state.state import State

FORMAT = 1
MODEL, OPTIMIZER, GENERATORS, BEST = "model", "optimizer", "rng", "best"
STATE = "state.json"
_DIGEST = "digest"
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a training needs to go on as if nothing had happened. `best` is None when the model is the best."""

    state: State
    model: Tensors
    optimizer: Tensors
    generators: Tensors
    best: Tensors | None
    identity: Mapping[str, str]
    """What training it belongs to: digests of definition and data."""


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes, brings to disk, then renames into place. Raises CheckpointNotWritten and leaves nothing behind then."""
    making = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        _fill(making, checkpoint)
        _sync(making)
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
        _sync(folder.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(making, ignore_errors=True)
        raise CheckpointNotWritten(
            f"the checkpoint {folder.name} could not be written: {error}. The training goes on; the one before stays: "
            "free space on the disk of the trainer's folder, or keep fewer (spec.checkpointing.keep_last)"
        ) from error


def _fill(folder: Path, checkpoint: Checkpoint) -> None:
    groups = {MODEL: checkpoint.model, OPTIMIZER: checkpoint.optimizer, GENERATORS: checkpoint.generators}
    if checkpoint.best is not None:
        groups[BEST] = checkpoint.best
    digests = {}
    for name, tensors in groups.items():
        path = folder / f"{name}.safetensors"
        save_file(dict(tensors), path)
        digests[path.name] = file_digest(path)
        _sync(path)
    content = {
        "format": FORMAT,
        "identity": dict(checkpoint.identity),
        "state": checkpoint.state.to_json(),
        "files": digests,
    }
    path = folder / STATE
    path.write_bytes(_canonical(content | {_DIGEST: _content_digest(content)}))
    _sync(path)


def read(folder: Path, identity: Mapping[str, str]) -> Checkpoint:
    """A whole checkpoint of this very training. Raises CheckpointDamaged or CheckpointMismatch."""
    content = _read_state(folder)
    for name, digest in content["files"].items():
        _check_file(folder / name, digest)
    _check_identity(folder, content["identity"], identity)
    try:
        groups = {Path(name).stem: load_file(folder / name) for name in content["files"]}
        return Checkpoint(
            state=State.of_json(content["state"]),
            model=groups[MODEL],
            optimizer=groups[OPTIMIZER],
            generators=groups[GENERATORS],
            best=groups.get(BEST),
            identity=content["identity"],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / STATE).read_bytes())
        digest = content.pop(_DIGEST)
        known = content["format"], content["files"], content["identity"], content["state"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, f"{STATE}: {type(error).__name__}: {error}") from error
    if digest != _content_digest(content):
        raise _damaged(folder, f"{STATE} does not have the digest that it names")
    if known[0] != FORMAT:
        raise CheckpointMismatch(f"checkpoint {folder.name} has format {known[0]}, this trainer reads {FORMAT}")
    return dict(content)


def _check_file(path: Path, digest: str) -> None:
    try:
        found = file_digest(path)
    except OSError as error:
        raise _damaged(path.parent, f"{path.name}: {error.strerror}") from error
    if found != digest:
        raise _damaged(
            path.parent, f"{path.name} has digest {found[:12]}..., not {digest[:12]}...: it was cut or altered"
        )


def _check_identity(folder: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for what, digest in wanted.items():
        if found.get(what) != digest:
            raise CheckpointMismatch(
                f"checkpoint {folder.name} belongs to another training: the digest of its {what} is "
                f"{str(found.get(what))[:12]}..., here it is {digest[:12]}...; start a new run"
            )


def _damaged(folder: Path, why: str) -> CheckpointDamaged:
    return CheckpointDamaged(f"checkpoint {folder.name} is damaged: {why}. Go on from an earlier one, or start anew")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
