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
    "SPACE_NOT_FOUND": "See your spaces: automesh doc space list",
    "DOCUMENT_NOT_FOUND": "See what is there: automesh doc list SPACE   (or look for it: automesh doc search WORDS)",
    "DOCUMENT_TRASHED": "Bring it back: automesh doc restore DOCUMENT   (what lies there: automesh doc trash SPACE)",
    "REVISION_NOT_FOUND": "See its revisions: automesh doc log DOCUMENT",
    "BRANCH_NOT_FOUND": "See the branches: automesh doc branch list SPACE",
    "BRANCH_PROTECTED": "Write to a branch (--branch NAME), then propose it: automesh doc review propose SPACE NAME",
    "APPROVALS_MISSING": "Ask for them: automesh doc review show REVIEW",
    "MERGE_CONFLICTS": "Bring the branch up to date: automesh doc diff DOCUMENT shows what both changed",
    "REVIEW_NOT_FOUND": "See the reviews: automesh doc review list",
    "TEMPLATE_NOT_FOUND": "See the templates: automesh doc template list",
    "RELEASE_NOT_FOUND": "See the releases: automesh doc releases SPACE",
    "BACKUP_NOT_FOUND": "See the backups: automesh doc backup list",
    "JOB_NOT_FOUND": "See the jobs: automesh doc jobs",
    "PATH_TAKEN": "See what is there: automesh doc list SPACE",
    "UNAVAILABLE": "See what is wrong: automesh status",
}


class CliError(AutomationError):
    """Ends the command with exit status 1 and one message."""

    reason = "CLI"

    def __init__(
        self, message: str, *, next_step: str = "", passing: bool = False, status: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.next_step = next_step
        self.status: Mapping[str, Any] = status or {}
        """The google.rpc.Status that the gateway answered with; empty when it did not answer."""
        self.passing = passing
        """Whether the same call may go through a little later."""

    @property
    def told(self) -> str:
        """The reason that the service gave, for example "STALE_WRITE"; empty when it gave none."""
        return str((self.detail("google.rpc.ErrorInfo") or {}).get("reason", ""))

    def detail(self, kind: str) -> Mapping[str, Any] | None:
        """The detail of this message type; None when there is none."""
        for each in self.status.get("details", ()):
            if str(each.get("@type", "")).rpartition("/")[2] == kind:
                found: Mapping[str, Any] = each
                return found
        return None


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
    passing = status.get("code") == UNAVAILABLE
    return CliError(message, next_step=NEXT_STEPS.get(reason, ""), passing=passing, status=status)
