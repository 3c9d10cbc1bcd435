"""What can be wrong with data, whatever the pipeline says. None of it is mended by another attempt.

DataError
|-- DataUnreadable   the bytes are not what they should be
|-- DataTooLarge     more than the limits of the job
|-- DataEmpty        no rows, or none left
`-- DataUnsuitable   rows and pipeline do not fit together
"""

from __future__ import annotations

from services.data.domain.errors import DataError


class DataUnreadable(DataError):
    """The file is damaged, or not of the format or encoding it is said to have."""

    reason = "DATA_UNREADABLE"


class DataTooLarge(DataError):
    """More rows, columns or bytes than the job may have."""

    reason = "DATA_TOO_LARGE"


class DataEmpty(DataError):
    """There are no rows, or a step left none."""

    reason = "DATA_EMPTY"


class DataUnsuitable(DataError):
    """The pipeline asks for what the rows do not have; the message names the step."""

    reason = "DATA_UNSUITABLE"
