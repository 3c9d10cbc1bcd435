"""Messages of ValidationService and the domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from automesh.doc.v1 import validation_service_pb2 as pb
from services.doc.convert import cursors, documents
from services.doc.domain.validation.report import Checked, Position, Reported
from services.doc.domain.validation.rule import Rule


def checked(found: Checked) -> pb.CheckDocumentResponse:
    """What is wrong with a text."""
    return pb.CheckDocumentResponse(findings=documents.findings(found.findings), refused=found.refused)


def position(request: pb.ListFindingsRequest) -> Position:
    """Where the page begins."""
    told, path = cursors.count(request.page_token, filters=_filters(request)) or (0, "")
    return Position(path, told)


def findings_page(
    found: Sequence[Reported], following: Position | None, request: pb.ListFindingsRequest
) -> pb.ListFindingsResponse:
    """A page by path."""
    token = ""
    if following is not None:
        token = cursors.count_token(following.told, following.path, filters=_filters(request))
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
