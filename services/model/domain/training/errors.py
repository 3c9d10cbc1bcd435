"""Why a training cannot go on.

ModelError > TrainingError, which says whether trying again can help
|-- JobUnreadable, DeviceMissing, OutOfMemory, NotDeterministic
|-- ColumnMissing, FeatureNotNumeric, DataNotFinite, DataTooShort, DataDamaged, WindowMissing, PartMissing
|-- OneClassOnly, ClassUnknown, TooManyClasses
|-- ShapeMismatch, PluginUnknown, PluginFailed
|-- CheckpointDamaged, CheckpointMismatch, CheckpointNotWritten
`-- TrainingDiverged, ExportFailed
"""

from __future__ import annotations

from typing import ClassVar

from automesh.core.errors import ModelError


class TrainingError(ModelError):
    """Something that ends a training."""

    retryable: ClassVar[bool] = False
    reason = "TRAINING"


class JobUnreadable(TrainingError):
    """job.json is not what the program understands."""

    reason = "JOB_UNREADABLE"


class DeviceMissing(TrainingError):
    """A GPU is asked for, and there is none."""

    reason = "DEVICE_MISSING"


class OutOfMemory(TrainingError):
    """The batch, the network or the data does not fit."""

    reason = "OUT_OF_MEMORY"


class NotDeterministic(TrainingError):
    """Deterministic algorithms are asked for where there are none."""

    reason = "NOT_DETERMINISTIC"


class ColumnMissing(TrainingError):
    """The data has no such column."""

    reason = "COLUMN_MISSING"


class FeatureNotNumeric(TrainingError):
    """Only numbers can go into a network."""

    reason = "FEATURE_NOT_NUMERIC"


class DataNotFinite(TrainingError):
    """Nulls, NaN or infinities."""

    reason = "DATA_NOT_FINITE"


class DataTooShort(TrainingError):
    """No series is long enough for one window."""

    reason = "DATA_TOO_SHORT"


class DataDamaged(TrainingError):
    """A file of the data is not there or cannot be read."""

    retryable = True
    reason = "DATA_DAMAGED"


class WindowMissing(TrainingError):
    """Neither the dataset nor the spec says how long a window is."""

    reason = "WINDOW_MISSING"


class PartMissing(TrainingError):
    """The data lacks a part that the spec needs."""

    reason = "PART_MISSING"


class OneClassOnly(TrainingError):
    """There is nothing to tell apart."""

    reason = "ONE_CLASS_ONLY"


class ClassUnknown(TrainingError):
    """A class that the training part does not have."""

    reason = "CLASS_UNKNOWN"


class TooManyClasses(TrainingError):
    """Most likely the target is a measure, not a class."""

    reason = "TOO_MANY_CLASSES"


class ShapeMismatch(TrainingError):
    """Network and data do not fit."""

    reason = "SHAPE_MISMATCH"


class PluginUnknown(TrainingError):
    """No installed package offers the architecture."""

    reason = "PLUGIN_UNKNOWN"


class PluginFailed(TrainingError):
    """The package that offers the architecture fails."""

    reason = "PLUGIN_FAILED"


class CheckpointDamaged(TrainingError):
    """A checkpoint was cut or altered. The next attempt is given the one before."""

    retryable = True
    reason = "CHECKPOINT_DAMAGED"


class CheckpointMismatch(TrainingError):
    """A checkpoint of another training."""

    reason = "CHECKPOINT_MISMATCH"


class CheckpointNotWritten(TrainingError):
    """No disk space, or no disk."""

    retryable = True
    reason = "CHECKPOINT_NOT_WRITTEN"


class TrainingDiverged(TrainingError):
    """The loss or the weights are no longer numbers."""

    reason = "TRAINING_DIVERGED"


class ExportFailed(TrainingError):
    """The network cannot be written as ONNX, or computes something else there."""

    reason = "EXPORT_FAILED"
