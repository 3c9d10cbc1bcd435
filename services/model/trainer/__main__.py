"""`python -m services.model.trainer FOLDER`: trains as FOLDER/job.json says. See services/model/trainer/reporter.py."""

from __future__ import annotations

import sys
from pathlib import Path

from automesh.core.errors import AutomationError
from services.model.trainer import bootstrap
from services.model.trainer.job import read_job
from services.model.trainer.reporter import Reporter
from services.model.trainer.stopping import Stopping

USAGE = 2
IMPORT_S = 120.0


def main() -> int:
    """Ends with 0 whenever the last word was said."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its folder
        print("usage: python -m services.model.trainer FOLDER", file=sys.stderr)  # noqa: T201 - for people
        return USAGE
    stopping = Stopping()
    stopping.listen()
    stream = bootstrap.own_stdout()
    speaks = Reporter(stream)
    try:
        job = read_job(Path(sys.argv[1]).resolve())
    except AutomationError as error:
        speaks.failed(error.reason, error.message, retryable=False)
        return 0
    bootstrap.prepare(job)
    place, engine = bootstrap.place(job), job.spec.resources.engine
    if engine == "torchrun" and job.processes * job.rendezvous.nodes > 1 and not bootstrap.launched():
        bootstrap.become_torchrun(job, stream)
    reporter = speaks if place.rank == 0 else Reporter(None)
    reporter.progress(0.0, "loading torch")
    with reporter.busy(IMPORT_S):
        from services.model.trainer import program  # noqa: PLC0415 - torch reads the environment when it is loaded
    if engine == "ray":
        from services.model.trainer.ray_engine import run as run_on_ray  # noqa: PLC0415 - for those who asked for it

        return run_on_ray(job, reporter, stopping)
    if place.world > 1:
        bootstrap.end_at_once(lambda: program.run(job, place, reporter, stopping))
    return program.run(job, place, reporter, stopping)


if __name__ == "__main__":
    sys.exit(main())
