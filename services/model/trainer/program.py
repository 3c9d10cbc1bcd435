"""One process's training from its first to its last word: whatever happens becomes one of done, failed and stopped."""

from __future__ import annotations

import torch

from automesh.core.errors import AutomationError
from services.model.domain.training.errors import NotDeterministic, OutOfMemory, TrainingError
from services.model.trainer.job import Job
from services.model.trainer.ranks import Place
from services.model.trainer.reporter import Reporter
from services.model.trainer.stopping import Stopped, Stopping
from services.model.trainer.training import train

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def run(job: Job, place: Place, reporter: Reporter, stopping: Stopping) -> int:
    """The exit status. What is not foreseen is raised: the process dies of it, and may be started again."""
    try:
        result = train(job, place, reporter, stopping)
    except Stopped:
        reporter.stopped()
    except AutomationError as error:
        retryable = isinstance(error, TrainingError) and error.retryable
        reporter.failed(error.reason, error.message, retryable=retryable)
    except (MemoryError, RuntimeError) as error:
        known = foreseen(error)
        if known is None:
            raise
        reporter.failed(known.reason, known.message, retryable=known.retryable)
    else:
        if result is not None:
            reporter.done(result)
    return 0


def foreseen(error: MemoryError | RuntimeError) -> TrainingError | None:
    """What torch's error means, where that can be told from its text."""
    text = str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in text.lower() for words in _NO_MEMORY):
        return OutOfMemory(
            f"out of memory: {text[:300]}. Take a smaller spec.optimization.batch_size (and accumulate, for equal "
            "steps), a smaller network or window, or more spec.resources.memory_limit"
        )
    if "deterministic" in text:
        return NotDeterministic(f"spec.deterministic cannot be kept here: {text[:500]}")
    return None
