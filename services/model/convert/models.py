"""Messages of ModelService and the domain: models, moves, pages of them."""

from __future__ import annotations

from datetime import datetime

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.mesh.times import timestamp
from automesh.model.v1 import model_pb2 as pb
from automesh.model.v1 import model_service_pb2 as service_pb
from services.model.convert import gates
from services.model.domain import bounds
from services.model.domain.registry.model import Model, ModelText, ServingOptions
from services.model.domain.registry.moves import AliasMove
from services.model.domain.registry.ports import ModelQuery
from services.model.domain.registry.promotion import Move

MAX_TAG_FILTER = 201
"""A key and a value of 100 characters each, and "=" between them."""


def text(message: pb.Model) -> ModelText:
    """What people may write; output-only fields are ignored."""
    return ModelText(
        name=message.name,
        description=message.description,
        tags=dict(message.tags),
        gates=tuple(gates.alias_gates(each) for each in message.gates),
        serving=ServingOptions(
            max_batch_size=message.serving.max_batch_size,
            max_delay_us=message.serving.max_delay_us if message.serving.HasField("max_delay_us") else None,
            max_queue=message.serving.max_queue,
        ),
    )


def model(found: Model) -> pb.Model:
    """The message of a model."""
    text = found.text
    return pb.Model(
        model_id=found.model_id,
        tenant_id=found.tenant_id,
        name=text.name,
        description=text.description,
        tags=text.tags,
        aliases=found.aliases,
        gates=[gates.alias_gates_message(each) for each in text.gates],
        serving=_serving(text.serving),
        latest_version=found.latest_version,
        created_by=found.created_by,
        create_time=timestamp(found.created_at),
        update_time=timestamp(found.updated_at),
    )


def query(request: service_pb.ListModelsRequest) -> ModelQuery:
    """The page that is asked for. Raises ValidationError for foreign tokens and a tag without "="."""
    key, separator, value = request.tag.partition("=")
    bounds.text(request.tag, MAX_TAG_FILTER, field="tag")
    if request.tag and not separator:
        raise ValidationError(f"tag {request.tag[:80]!r} is not of the form key=value", field="tag")
    return ModelQuery(
        limit=paging.page_size(request.page_size),
        before=_before(request),
        name_contains=request.name_contains,
        tag=(key, value) if request.tag else None,
    )


def page_token(last: Model, request: service_pb.ListModelsRequest) -> str:
    """Continues after `last` in the same list."""
    return paging.encode_token(f"{last.updated_at.isoformat()} {last.model_id}", filters=_filters(request))


def asked_move(request: service_pb.SetAliasRequest, *, tenant_id: str, subject: str) -> Move:
    """What somebody asks for."""
    return Move(
        tenant_id=tenant_id,
        model_id=request.model_id,
        alias=request.alias,
        version=request.version,
        moved_by=subject,
        override_reason=request.override_reason,
    )


def move(made: AliasMove) -> service_pb.AliasMove:
    """The message of a move."""
    return service_pb.AliasMove(
        alias=made.alias,
        from_version=made.from_version,
        to_version=made.to_version,
        override_reason=made.override_reason,
        results=gates.results(made.results),
        moved_by=made.moved_by,
        move_time=made.moved_at.isoformat().replace("+00:00", "Z"),
    )


def moves_page(request: service_pb.ListAliasMovesRequest) -> tuple[int, str | None]:
    """How many, and before which move."""
    return paging.page_size(request.page_size), paging.decode_token(
        request.page_token, filters=["moves", request.model_id]
    )


def moves_token(last: AliasMove, request: service_pb.ListAliasMovesRequest) -> str:
    """Continues after `last`."""
    return paging.encode_token(last.move_id, filters=["moves", request.model_id])


def _serving(options: ServingOptions) -> pb.ServingOptions | None:
    if options == ServingOptions():
        return None
    return pb.ServingOptions(
        max_batch_size=options.max_batch_size, max_delay_us=options.max_delay_us, max_queue=options.max_queue
    )


def _before(request: service_pb.ListModelsRequest) -> tuple[datetime, str] | None:
    after = paging.decode_token(request.page_token, filters=_filters(request))
    if after is None:
        return None
    moment, _, model_id = after.partition(" ")
    try:
        return datetime.fromisoformat(moment), model_id
    except ValueError as error:
        raise ValidationError("page_token is not one that ListModels gave out", field="page_token") from error


def _filters(request: service_pb.ListModelsRequest) -> list[str]:
    return ["models", request.name_contains, request.tag]
