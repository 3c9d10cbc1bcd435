"""Where a training runs, on how much hardware, and when it leaves checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from automesh.core.errors import ValidationError
from services.model.domain import bounds

STRATEGIES = frozenset({"ddp", "fsdp"})
ENGINES = frozenset({"torchrun", "ray"})
DEFAULT_TIMEOUT = timedelta(hours=24)
MAX_TIMEOUT = timedelta(days=7)
MIN_MEMORY = 256 * 1024 * 1024
_PATH = "spec.resources"


class Device(StrEnum):
    """Which device is wanted."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class NoDevice(StrEnum):
    """What to do when a GPU is asked for and there is none."""

    FAIL = "fail"
    WAIT = "wait"
    CPU = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where, and on how much hardware. `engine` is "" for one process."""

    device: Device = Device.AUTO
    without_device: NoDevice = NoDevice.FAIL
    processes: int = 1
    nodes: int = 1
    strategy: str = "ddp"
    engine: str = ""
    threads: int = 1
    share_gpu: bool = False
    timeout: timedelta = DEFAULT_TIMEOUT
    memory_limit: int = 0

    def __post_init__(self) -> None:
        bounds.within(self.processes, 1, 64, field=f"{_PATH}.processes")
        bounds.within(self.nodes, 1, 1024, field=f"{_PATH}.nodes")
        bounds.one_of(self.strategy, STRATEGIES, field=f"{_PATH}.strategy")
        bounds.within(self.threads, 1, 1024, field=f"{_PATH}.threads")
        if not self.engine and self.processes * self.nodes > 1:
            object.__setattr__(self, "engine", "torchrun")
        if self.engine:
            bounds.one_of(self.engine, ENGINES, field=f"{_PATH}.engine")
        if not timedelta(seconds=1) <= self.timeout <= MAX_TIMEOUT:
            raise ValidationError(
                f"{_PATH}.timeout is {self.timeout.total_seconds():g} s, not between 1 s and 7 days",
                field=f"{_PATH}.timeout",
            )
        if self.memory_limit and self.memory_limit < MIN_MEMORY:
            raise ValidationError(
                f"{_PATH}.memory_limit is {self.memory_limit}: a trainer needs {MIN_MEMORY} bytes; 0 means no limit",
                field=f"{_PATH}.memory_limit",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointing:
    """When checkpoints are written, and how many of the last ones are kept beside the best."""

    every_steps: int = 0
    every_epochs: int = 1
    keep_last: int = 2

    def __post_init__(self) -> None:
        path = "spec.checkpointing"
        bounds.within(self.every_steps, 0, 1e9, field=f"{path}.every_steps")
        bounds.within(self.every_epochs, 1, 1e6, field=f"{path}.every_epochs")
        bounds.within(self.keep_last, 1, 1000, field=f"{path}.keep_last")
