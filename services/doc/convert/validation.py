"""Messages of ValidationService and the domain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from automesh.core import paging
from automesh.doc.v1 import validation_service_pb2 as pb
from services.doc.convert import documents
from services.doc.domain.validation.report import Checked, Position, Reported
from services.doc.domain.validation.rule import Rule


def checked(found: Checked) -> pb.CheckDocumentResponse:
    """What is wrong with a text."""
    return pb.CheckDocumentResponse(findings=documents.findings(found.findings), refused=found.refused)


def position(request: pb.ListFindingsRequest) -> Position:
    """Where the page begins."""
    token = paging.decode_token(request.page_token, filters=_filters(request))
    if token is None:
        return Position()
    try:
        path, told = json.loads(token)
        return Position(str(path), int(told))
    except (ValueError, TypeError) as error:
        raise paging.strange_token() from error


def findings_page(
    found: Sequence[Reported], following: Position | None, request: pb.ListFindingsRequest
) -> pb.ListFindingsResponse:
    """A page by path."""
    token = ""
    if following is not None:
        token = paging.encode_token(json.dumps([following.path, following.told]), filters=_filters(request))
    messages = [
        documents.finding(each.finding, document_id=each.head.document_id, path=each.head.path) for each in found
    ]
    return pb.ListFindingsResponse(findings=messages, next_page_token=token)


def rules(found: Iterable[Rule]) -> pb.ListRulesResponse:
    """By name."""
    return pb.ListRulesResponse(
        rules=[pb.Rule(rule=each.name, description=each.description, level=each.level) for each in found]
    )


def _filters(request: pb.ListFindingsRequest) -> object:
    return [request.space, request.branch, request.rule]
