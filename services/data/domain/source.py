"""How files are read, and rows that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from automesh.core.errors import ValidationError

MAX_NULL_VALUES = 100
MAX_SAMPLES, MAX_STEPS, MAX_FEATURES = 10_000_000, 10_000_000, 4_000
MAX_MADE_UP_ROWS = 1_000_000_000


class FileFormat(StrEnum):
    """The values are the names of the proto enum."""

    CSV = "FILE_FORMAT_CSV"
    JSONL = "FILE_FORMAT_JSONL"
    PARQUET = "FILE_FORMAT_PARQUET"
    ARROW = "FILE_FORMAT_ARROW"


class Encoding(StrEnum):
    """How text is written in bytes."""

    UTF_8 = "utf-8"
    UTF_8_SIG = "utf-8-sig"
    LATIN_1 = "latin-1"
    UTF_16 = "utf-16"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How one file is read. `format` None: guessed from its first bytes and its name."""

    format: FileFormat | None = None
    delimiter: str = ","
    encoding: Encoding = Encoding.UTF_8
    null_values: Sequence[str] = ()

    def check(self, path: str) -> None:
        """Raises ValidationError that names the field below `path`."""
        plain = len(self.delimiter) == 1 and self.delimiter.isascii()
        if not plain or self.delimiter in '"\r\n\x00':
            _refuse(f"{path}.delimiter", f"{self.delimiter!r} cannot stand between values: give one ASCII character")
        if len(self.null_values) > MAX_NULL_VALUES:
            _refuse(f"{path}.null_values", f"{len(self.null_values)} are more than {MAX_NULL_VALUES}")


class Waves(StrEnum):
    """What made-up rows look like."""

    SINE = "sine"
    RANDOM_WALK = "random_walk"
    CLASSES = "classes"
    ANOMALIES = "anomalies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """Made-up rows: `samples` series of `steps` rows with `features` columns, the same for the same seed."""

    kind: Waves = Waves.SINE
    samples: int = 1000
    steps: int = 100
    features: int = 10
    seed: int = 0

    def check(self, path: str) -> None:
        """Raises ValidationError that names the field below `path`."""
        bounds = {"samples": MAX_SAMPLES, "steps": MAX_STEPS, "features": MAX_FEATURES}
        for name, most in bounds.items():
            if not 1 <= getattr(self, name) <= most:
                _refuse(f"{path}.{name}", f"{getattr(self, name)} is not between 1 and {most}")
        if self.samples * self.steps > MAX_MADE_UP_ROWS:
            _refuse(f"{path}.steps", f"samples x steps are more than {MAX_MADE_UP_ROWS} rows")


def _refuse(field: str, what: str) -> None:
    raise ValidationError(f"{field}: {what}", field=field)
