"""Errors keep their class, message and details from server to client."""

from datetime import timedelta

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from automesh.core import errors
from automesh.core.errors import AutomationError, FieldViolation, Kind, TaskError, ValidationError
from automesh.doc.v1 import document_pb2
from automesh.mesh.errors import DETAILS_KEY, MOST_STATUS, STATUS, from_rpc_error, to_status, translating_errors


class SampleTaskError(TaskError):
    """Known to both sides."""

    kind = Kind.NOT_FOUND
    reason = "SAMPLE_TASK_NOT_FOUND"


def sent(error: AutomationError) -> grpc.aio.AioRpcError:
    details = (DETAILS_KEY, to_status(error).SerializeToString())
    return rpc_error(STATUS[error.kind], error.message, details)


def rpc_error(code: grpc.StatusCode, message: str, *trailing: tuple[str, bytes]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), message)


def test_every_kind_has_a_status() -> None:
    assert set(STATUS) == set(Kind)
    assert len(set(STATUS.values())) == len(STATUS)


def test_a_derived_error_comes_back_as_itself() -> None:
    got = from_rpc_error(sent(SampleTaskError("task t1 is not here", taskId="t1")))
    assert type(got) is SampleTaskError
    assert (got.message, got.metadata) == ("task t1 is not here", {"taskId": "t1"})


def test_field_violations_come_back() -> None:
    error = ValidationError("bad", violations=[FieldViolation("a", "no"), FieldViolation("b.c", "neither")])
    got = from_rpc_error(sent(error))
    assert isinstance(got, ValidationError)
    assert got.violations == error.violations


def test_an_error_that_quotes_a_huge_request_still_fits_into_trailers() -> None:
    huge = "\N{BOMB}" * 20_000
    error = ValidationError(huge, violations=[FieldViolation(huge, huge)] * 100, taskId=huge)
    status = to_status(error)
    assert len(status.message.encode()) <= 1024
    assert status.message.endswith("…")
    assert len(status.SerializeToString()) <= 10_000


def test_the_time_to_wait_comes_back() -> None:
    got = from_rpc_error(sent(errors.Exhausted("full", retry_after=timedelta(seconds=1.5))))
    assert got.retry_after == timedelta(seconds=1.5)


def test_messages_that_travel_with_an_error_come_back() -> None:
    error = SampleTaskError("gone")
    stale = document_pb2.StaleWrite(document_id="doc_1", merge=document_pb2.Merge(content="a\n"))
    unknown = any_pb2.Any(type_url="type.googleapis.com/no.Such", value=b"\x01")
    error.details = (stale, unknown)
    got = from_rpc_error(sent(error))
    assert got.details == (stale, unknown)
    assert type(got) is SampleTaskError


def test_a_detail_that_would_cost_the_whole_status_stays_behind() -> None:
    error = errors.Exhausted("full", retry_after=timedelta(seconds=1))
    small = document_pb2.StaleWrite(document_id="doc_1")
    error.details = (small, document_pb2.StaleWrite(merge=document_pb2.Merge(content="x" * MOST_STATUS)))
    got = from_rpc_error(sent(error))
    assert got.details == (small,)
    assert got.retry_after == timedelta(seconds=1)


def test_only_messages_can_travel_with_an_error() -> None:
    error = SampleTaskError("gone")
    error.details = ("text",)
    with pytest.raises(TypeError, match="str"):
        to_status(error)


def test_a_reason_nobody_knows_becomes_the_class_of_its_code() -> None:
    status = status_pb2.Status(code=5, message="gone")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="OF_ANOTHER_VERSION", domain="automesh"))
    got = from_rpc_error(rpc_error(grpc.StatusCode.NOT_FOUND, "gone", (DETAILS_KEY, status.SerializeToString())))
    assert type(got) is errors.NotFound


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_bare_status_becomes_an_error(code: grpc.StatusCode) -> None:
    got = from_rpc_error(rpc_error(code, "bare"))
    assert got.message == "bare"


def test_details_that_are_garbage_do_not_hide_the_error() -> None:
    got = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "away", (DETAILS_KEY, b"\xff\xff\xff")))
    assert isinstance(got, errors.Unavailable)


def test_no_rpc_error_leaves_the_translating_block() -> None:
    with pytest.raises(errors.Unavailable), translating_errors():
        raise rpc_error(grpc.StatusCode.UNAVAILABLE, "away")
