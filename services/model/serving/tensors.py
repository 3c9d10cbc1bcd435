"""Tensors of the Open Inference Protocol, checked against what a model takes, and numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automesh.core.errors import ValidationError
from services.model.domain.serving.versions import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DATATYPES = frozenset(
    {"BOOL", "FP16", "BF16", "FP32", "FP64", "BYTES"}
    | {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTensor:
    """A tensor as it came: little-endian row-major bytes, or values."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | None = None
    values: Sequence[float] | None = None


def array_of(given: Sequence[GivenTensor], spec: TensorSpec, *, max_rows: int) -> NDArray[np.float32]:
    """The one input of a model as [batch, ...]. Raises ValidationError that says what came and what is expected."""
    import numpy as np  # noqa: PLC0415 - of the extra `model`; whoever loads a model has it

    tensor = _the_input(given, spec)
    _check_shape(tensor, spec, max_rows)
    count = 1
    for size in tensor.shape:
        count *= size
    if tensor.raw is not None:
        if len(tensor.raw) != count * 4:
            raise _wrong(
                f"input {tensor.name!r} has {len(tensor.raw)} bytes, but shape {_shown(tensor.shape)} of FP32 needs "
                f"{count * 4}",
                "raw_input_contents",
            )
        return _finite(np.frombuffer(tensor.raw, dtype="<f4").reshape(tensor.shape), "inputs", tensor.name)
    values = tensor.values if tensor.values is not None else ()
    if len(values) != count:
        raise _wrong(
            f"input {tensor.name!r} has {len(values)} values, but shape {_shown(tensor.shape)} needs {count}", "inputs"
        )
    with np.errstate(over="ignore"):  # becomes an infinity, which is refused
        array = np.asarray(values, dtype=np.float32).reshape(tensor.shape)
    return _finite(array, "inputs", tensor.name)


def plain(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The outputs, for JSON. Raises ValidationError for NaN and infinities, which JSON lacks."""
    return _finite(outputs, "inputs", "output", why="the values that came are too large for the model")


def _finite(
    array: NDArray[np.float32], field: str, name: str, *, why: str = "FP32 has to hold every value"
) -> NDArray[np.float32]:
    import numpy as np  # noqa: PLC0415 - of the extra `model`; whoever loads a model has it

    if not np.isfinite(array).all():
        raise _wrong(f"{name!r} holds NaN or infinity: {why}", field)
    return array


def check_outputs(wanted: Sequence[str], known: Sequence[TensorSpec]) -> None:
    """Refuses outputs that the model does not have."""
    names = [spec.name for spec in known]
    for name in wanted:
        if name not in names:
            raise _wrong(f"there is no output {name!r}; the model has {', '.join(map(repr, names))}", "outputs")


def flat(values: Sequence[Any], *, most: int) -> list[float]:
    """Numbers of flat or nested lists, row by row. Raises ValidationError for anything else or too many."""
    found: list[float] = []
    stack: list[Any] = [iter(values)]
    while stack:
        for value in stack[-1]:
            if isinstance(value, list):
                stack.append(iter(value))
                break
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _wrong(f"data holds {value!r}: only numbers are taken", "inputs.data")
            found.append(float(value))
            if len(found) > most:
                raise _wrong(f"data holds more than {most} values", "inputs.data")
        else:
            stack.pop()
    return found


def _the_input(given: Sequence[GivenTensor], spec: TensorSpec) -> GivenTensor:
    names = [tensor.name for tensor in given]
    if names != [spec.name]:
        came = ", ".join(map(repr, names)) or "none"
        raise _wrong(f"the model takes the input {spec.name!r}; what came is: {came}", "inputs")
    tensor = given[0]
    if tensor.datatype not in DATATYPES:
        raise _wrong(
            f"{tensor.datatype!r} is no datatype of the protocol (names are case-sensitive)", "inputs.datatype"
        )
    if tensor.datatype != spec.datatype:
        raise _wrong(
            f"input {spec.name!r} is {tensor.datatype}, but the model takes {spec.datatype}: convert it first",
            "inputs.datatype",
        )
    return tensor


def _check_shape(tensor: GivenTensor, spec: TensorSpec, max_rows: int) -> None:
    shape = tensor.shape
    fits = len(shape) == len(spec.shape) and all(
        want in {-1, size} for want, size in zip(spec.shape, shape, strict=True)
    )
    if not fits or any(size < 0 for size in shape):
        raise _wrong(
            f"input {spec.name!r} has shape {_shown(shape)}, but the model takes {_shown(spec.shape)} "
            "(-1 is the number of windows)",
            "inputs.shape",
        )
    if not 1 <= shape[0] <= max_rows:
        raise _wrong(f"a request has from 1 to {max_rows} windows, not {shape[0]}: send several", "inputs.shape")


def _shown(shape: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _wrong(message: str, field: str) -> ValidationError:
    return ValidationError(message, field=field)
