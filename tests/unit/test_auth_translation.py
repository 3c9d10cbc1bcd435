"""From messages to the domain and back and where the call came from."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from automesh.auth.v1 import api_key_service_pb2, audit_service_pb2
from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.mesh.caller import Caller, caller_is
from automesh.mesh.identity import SpiffeId
from services.auth.convert import (
    event_from_proto,
    event_to_proto,
    id_from_token,
    new_key_from_proto,
    position_from_text,
    position_to_text,
    timestamp,
)
from services.auth.service.caller import origin, peer_certificate

LIMIT_S = 20


class FakeContext:
    """What a servicer reads of a call."""

    def __init__(self, *metadata: tuple[str, str]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}


def source(service: str, peer: str, *metadata: tuple[str, str]) -> str:
    workload = SpiffeId.for_service("automesh.local", "dev", service)
    with caller_is(Caller(workload=workload, peer=peer)):
        return origin(FakeContext(*metadata)).source  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("6.6.6.6, 10.0.0.7, 192.168.0.1", "10.0.0.7"),  # what a client writes itself stands before
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_behind_the_gateway_the_source_is_the_client_that_it_names(forwarded: str, expected: str) -> None:
    assert source("gateway", "ipv4:127.0.0.1:4711", ("x-forwarded-for", forwarded)) == expected


def test_the_gateway_itself_is_no_source() -> None:
    assert source("gateway", "ipv4:127.0.0.1:4711") == ""


def test_another_process_is_a_source_whatever_its_port_and_whatever_it_claims() -> None:
    one = source("agent", "ipv4:10.0.0.7:4711", ("x-forwarded-for", "1.1.1.1"))
    assert one == source("agent", "ipv4:10.0.0.7:4712", ("x-forwarded-for", "2.2.2.2"))
    assert one != source("agent", "ipv4:10.0.0.8:4711")
    assert source("agent", "unix:") == "spiffe://automesh.local/ns/dev/sa/agent unix:"


def test_without_tls_there_is_no_certificate() -> None:
    assert peer_certificate(FakeContext()) == b""  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [2**62, -(2**62), 253402300800])
def test_a_time_that_no_calendar_has_is_refused(seconds: int) -> None:
    with pytest.raises(ValidationError, match="1 and 9999"):
        new_key_from_proto(api_key_service_pb2.ApiKey(name="ci", expire_time=Timestamp(seconds=seconds)))


def test_an_entry_comes_back_as_it_went() -> None:
    message = audit_service_pb2.AuditEvent(
        event_id="evt_1",
        time=timestamp(datetime(2026, 1, 1, tzinfo=UTC)),
        service="agent",
        tenant_id="acme",
        subject="user_1",
        workload="spiffe://x/ns/y/sa/z",
        method="a.B/C",
        resource="task_1",
        outcome="NOT_FOUND",
        reason="TASK_NOT_FOUND",
        request_id="req_1",
    )
    assert all(
        message.HasField("time") if field.name == "time" else getattr(message, field.name)
        for field in message.DESCRIPTOR.fields
    )
    assert event_to_proto(event_from_proto(message)) == message


def test_a_position_survives_a_page_token() -> None:
    event = event_from_proto(
        audit_service_pb2.AuditEvent(event_id="evt_1", time=timestamp(datetime(2026, 1, 1, 1, 2, 3, 456789, UTC)))
    )
    position = position_from_text(paging.decode_token(paging.encode_token(position_to_text(event))))
    assert position is not None
    assert (position.time, position.event_id) == (event.time, "evt_1")
    assert position_from_text(None) is None


@pytest.mark.parametrize("text", ["", "soon evt_1", "2026-01-01T00:00:00 evt_1", "2026-01-01T00:00:00+00:00 evt\0"])
def test_a_position_that_was_not_given_out_is_refused(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        position_from_text(text)
    assert caught.value.violations[0].field == "page_token"


def test_an_id_in_a_page_token_must_be_one() -> None:
    assert id_from_token(None, "user") is None
    for text in ("", "nul\0", "key_" + "0" * 23):
        with pytest.raises(ValidationError):
            id_from_token(text, "user")
