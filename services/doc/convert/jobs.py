"""Messages of JobService and the domain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import job_pb2
from automesh.doc.v1 import job_service_pb2 as pb
from automesh.mesh import times
from services.doc.domain.jobs.job import Job

LONGEST_WAIT = timedelta(seconds=60)
ANSWER_S = 1.0
"""What is left of a call's deadline for the answer."""


def job(found: Job) -> job_pb2.Job:
    """The message of a job."""
    return job_pb2.Job(
        job_id=found.job_id,
        kind=job_pb2.JobKind.Value(f"JOB_KIND_{found.kind}"),
        space=found.space,
        state=job_pb2.JobState.Value(f"JOB_STATE_{found.state}"),
        done=found.done,
        total=found.total,
        step="" if found.ended else found.step,
        failure=found.failure,
        tally=job_pb2.Tally(
            created=found.tally.created,
            updated=found.tally.updated,
            unchanged=found.tally.unchanged,
            renamed=found.tally.renamed,
            deleted=found.tally.deleted,
            refused=found.tally.refused,
        ),
        problems=[job_pb2.Problem(path=each.path, message=each.message) for each in found.problems],
        created_by=found.created_by,
        create_time=times.timestamp(found.created_at),
        end_time=times.timestamp(found.ended_at),
        expire_time=times.timestamp(found.expires_at),
        backup_id=found.backup_id,
    )


def page(request: pb.ListJobsRequest) -> tuple[int, str]:
    """How many, and after which one."""
    after = paging.decode_token(request.page_token, filters=["jobs", request.space])
    return paging.page_size(request.page_size), after or ""


def jobs_page(found: Sequence[Job], after: str, request: pb.ListJobsRequest) -> pb.ListJobsResponse:
    """A page, the newest first."""
    token = paging.encode_token(after, filters=["jobs", request.space]) if after else ""
    return pb.ListJobsResponse(jobs=[job(each) for each in found], next_page_token=token)


def wait(asked: Duration | None, left_s: float | None) -> timedelta:
    """How long to wait, so that an answer comes before the deadline `left_s` seconds from now; 0: not at all."""
    span = times.span(asked, field="wait") if asked is not None else timedelta(0)
    if not timedelta(0) <= span <= LONGEST_WAIT:
        raise ValidationError(f"wait is from 0 to {LONGEST_WAIT.total_seconds():g} s", field="wait")
    return within(span, left_s)


def within(span: timedelta, left_s: float | None) -> timedelta:
    """As much of it as a call has time for."""
    return span if left_s is None else min(span, timedelta(seconds=max(left_s - ANSWER_S, 0)))
