"""Between the messages of automesh.auth.v1 and the domain."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from automesh.auth.v1 import (
    api_key_service_pb2,
    audit_service_pb2,
    certificate_service_pb2,
    token_service_pb2,
    user_service_pb2,
)
from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.core.ids import is_id
from automesh.mesh.times import moment, timestamp
from services.auth.domain.api_keys import ApiKey, NewApiKey
from services.auth.domain.audit import AuditEvent, AuditFilter, Position
from services.auth.domain.certificates import Chain
from services.auth.domain.tokens import TokenPair
from services.auth.domain.user import NewUser, User

_EDITABLE = ("roles", "disabled")


def new_user_from_proto(message: user_service_pb2.User, *, own_tenant: str) -> NewUser:
    """What the caller asks for; without a tenant it is the caller's own."""
    return NewUser(
        username=message.username,
        tenant_id=message.tenant_id or own_tenant,
        roles=frozenset(message.roles),
        disabled=message.disabled,
    )


def user_to_proto(user: User) -> user_service_pb2.User:
    """The user without the password's hash."""
    return user_service_pb2.User(
        user_id=user.user_id,
        username=user.spec.username,
        tenant_id=user.spec.tenant_id,
        roles=sorted(user.spec.roles),
        disabled=user.spec.disabled,
        create_time=timestamp(user.created_at),
    )


def changes_from_proto(message: user_service_pb2.User, mask: FieldMask) -> tuple[frozenset[str] | None, bool | None]:
    """New roles and disabled; None for what the mask leaves out."""
    paths = set(mask.paths) or set(_EDITABLE)
    for path in paths.difference(_EDITABLE):
        raise ValidationError(
            f"{path!r} cannot be changed: update_mask may name {' and '.join(_EDITABLE)}", field="update_mask"
        )
    roles = frozenset(message.roles) if "roles" in paths else None
    return roles, message.disabled if "disabled" in paths else None


def tokens_to_proto(pair: TokenPair) -> token_service_pb2.TokenPair:
    """The pair as the client gets it."""
    lifetime = Duration()
    lifetime.FromTimedelta(pair.expires_in)
    return token_service_pb2.TokenPair(
        access_token=pair.access_token,
        expires_in=lifetime,
        refresh_token=pair.refresh_token,
        token_type="Bearer",
    )


def jwk_to_proto(jwk: Mapping[str, str]) -> token_service_pb2.Jwk:
    """A public key."""
    return token_service_pb2.Jwk(**jwk)


def new_key_from_proto(message: api_key_service_pb2.ApiKey) -> NewApiKey:
    """What the caller asks for."""
    expires_at = moment(message.expire_time, field="api_key.expire_time") if message.HasField("expire_time") else None
    return NewApiKey(name=message.name, permissions=frozenset(message.permissions), expires_at=expires_at)


def key_to_proto(key: ApiKey) -> api_key_service_pb2.ApiKey:
    """The key without its digest."""
    return api_key_service_pb2.ApiKey(
        key_id=key.key_id,
        name=key.spec.name,
        permissions=sorted(key.spec.permissions),
        expire_time=timestamp(key.spec.expires_at),
        create_time=timestamp(key.created_at),
        last_used_time=timestamp(key.last_used_at),
        owner_id=key.owner_id,
    )


def chain_to_proto(chain: Chain) -> certificate_service_pb2.CertificateChain:
    """A signed certificate."""
    return certificate_service_pb2.CertificateChain(
        certificate_pem=chain.certificate_pem.decode(),
        bundle_pem=chain.bundle_pem.decode(),
        expire_time=timestamp(chain.expires_at),
        spiffe_id=chain.spiffe_id,
    )


def event_from_proto(message: audit_service_pb2.AuditEvent) -> AuditEvent:
    """An entry as a service saw it."""
    return AuditEvent(
        event_id=message.event_id,
        time=moment(message.time, field="events.time") if message.HasField("time") else None,
        service=message.service,
        tenant_id=message.tenant_id,
        subject=message.subject,
        workload=message.workload,
        method=message.method,
        resource=message.resource,
        outcome=message.outcome,
        reason=message.reason,
        request_id=message.request_id,
    )


def event_to_proto(event: AuditEvent) -> audit_service_pb2.AuditEvent:
    """An entry as stored."""
    return audit_service_pb2.AuditEvent(
        event_id=event.event_id,
        time=timestamp(event.time),
        service=event.service,
        tenant_id=event.tenant_id,
        subject=event.subject,
        workload=event.workload,
        method=event.method,
        resource=event.resource,
        outcome=event.outcome,
        reason=event.reason,
        request_id=event.request_id,
    )


def filter_from_proto(request: audit_service_pb2.ListAuditEventsRequest) -> AuditFilter:
    """Which entries to list."""
    for name in ("subject", "resource", "outcome"):
        if "\0" in getattr(request, name):
            raise ValidationError(f"{name} holds the character NUL, which no entry has", field=name)
    return AuditFilter(subject=request.subject, resource=request.resource, outcome=request.outcome)


def position_to_text(event: AuditEvent) -> str:
    """Where an entry stands, for a page token."""
    moment = event.time.isoformat() if event.time else ""
    return f"{moment} {event.event_id}"


def position_from_text(text: str | None) -> Position | None:
    """The position in a page token."""
    if text is None:
        return None
    moment, _, event_id = text.partition(" ")
    try:
        position = Position(datetime.fromisoformat(moment), event_id)
    except ValueError:
        position = None
    if position is None or position.time.tzinfo is None or not event_id.isprintable():
        raise paging.strange_token()
    return position


def id_from_token(text: str | None, prefix: str) -> str | None:
    """The id in a page token."""
    if text is not None and not is_id(text, prefix):
        raise paging.strange_token()
    return text
