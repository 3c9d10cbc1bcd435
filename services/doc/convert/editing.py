"""Live editing, both ways."""

from __future__ import annotations

from automesh.doc.v1 import editing_service_pb2 as pb
from automesh.mesh import times
from services.doc.domain.editing.said import Acknowledged, Joined, NotSaved, PresenceOf, Said, Saved, Theirs


def joined(said: Joined) -> pb.EditDocumentResponse:
    """The first message."""
    return pb.EditDocumentResponse(joined=pb.Joined(update=said.update, head=said.head, state_vector=said.state_vector))


def response(said: Said) -> pb.EditDocumentResponse:
    """All that follow."""
    match said:
        case Joined():
            return joined(said)
        case Theirs(update):
            return pb.EditDocumentResponse(update=update)
        case Acknowledged(number):
            return pb.EditDocumentResponse(acknowledged=number)
        case PresenceOf(user, client, state, gone):
            return pb.EditDocumentResponse(presence=pb.Presence(user=user, client=client, state=state, gone=gone))
        case Saved(revision_id, time, acknowledged):
            return pb.EditDocumentResponse(
                saved=pb.Saved(revision_id=revision_id, time=times.timestamp(time), acknowledged=acknowledged)
            )
        case NotSaved(reason, message, retrying, acknowledged):
            return pb.EditDocumentResponse(
                not_saved=pb.NotSaved(reason=reason, message=message, acknowledged=acknowledged, retrying=retrying)
            )
