"""What went wrong, for a person at a terminal: the message, and the next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automesh.core.errors import AutomationError

UNAVAILABLE = 14
"""google.rpc.Code: whoever gets it may try again."""

NEXT_STEPS = {
    "UNAUTHENTICATED": "Sign in: automesh login",
    "PERMISSION_DENIED": "See what you may do: automesh whoami",
    "TASK_NOT_FOUND": "See your tasks: automesh task list",
    "MODEL_NOT_FOUND": "See your models: automesh model list",
    "RUN_NOT_FOUND": "See your trainings: automesh model runs",
    "GATES_NOT_PASSED": "See what was measured: automesh model gates --help   (or say why all the same: --override)",
    "WEBHOOK_NOT_FOUND": "See your webhooks: automesh webhook list",
    "UNKNOWN_TASK_TYPE": "See what agents can do: automesh agents",
    "DATASET_NOT_FOUND": "See your datasets: automesh data list",
    "DATASET_IN_USE": "See what was made of it: automesh data lineage DATA_ID",
    "UNAVAILABLE": "See what is wrong: automesh status",
}


class CliError(AutomationError):
    """Ends the command with exit status 1 and one message."""

    reason = "CLI"

    def __init__(self, message: str, *, next_step: str = "", passing: bool = False) -> None:
        super().__init__(message)
        self.next_step = next_step
        self.passing = passing
        """Whether the same call may go through a little later."""


def from_status(status: Mapping[str, Any], http_status: int) -> CliError:
    """The error in a google.rpc.Status that the gateway answered with."""
    message = str(status.get("message") or f"the gateway answered {http_status}")
    reason = ""
    for detail in status.get("details", ()):
        kind = str(detail.get("@type", ""))
        if kind.endswith("google.rpc.ErrorInfo"):
            reason = str(detail.get("reason", ""))
        if kind.endswith("google.rpc.RetryInfo"):
            message += f" (try again in {detail.get('retryDelay', 'a while')})"
    return CliError(message, next_step=NEXT_STEPS.get(reason, ""), passing=status.get("code") == UNAVAILABLE)
