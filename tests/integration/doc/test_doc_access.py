"""Who may call which rpc, and in which space: the whole table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from google.protobuf.message import Message
from structlog.testing import capture_logs

from automesh.core.errors import AutomationError, Kind
from automesh.doc.v1 import space_pb2
from automesh.testing.postgres import PostgresForTests
from services.auth.domain.roles import ROLES
from services.doc.fakes.tasks import FakeTasks
from tests.integration.doc.doc_house import doc_service
from tests.integration.doc.doc_rpcs import RPCS
from tests.integration.doc.doc_world import AnySender, World, make_world, member

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

WRITER = {
    *("UploadAttachment", "DeleteAttachment", "CreateBranch", "DeleteBranch", "CreateDocument", "UpdateDocument"),
    *("DeleteDocument", "RestoreDocument", "EditDocument", "CreateReview", "MergeReview", "CloseReview", "JudgeReview"),
    *("PublishSite", "RollBackSite", "ResumeAutoPublish", "UnpublishSite", "UpdateSite", "CreateTemplate"),
    *("UpdateTemplate", "DeleteTemplate", "ImportArchive", "ListReaders"),
}
OWNER = {"UpdateSpace", "CreateDocWebhook", "ListDocWebhooks", "EnableDocWebhook", "DeleteDocWebhook", "CancelJob"}
AUTHOR = {"UpdateComment"}
AUTHOR_OR_OWNER = {"DeleteComment"}
NO_SPACE = {
    *("ListBackups", "DeleteBackup", "ListDrafts", "DeleteDraft", "ListNotifications", "MarkSeen", "GetIndexStatus"),
    *("CreateSpace", "ListSpaces", "ListRules", "GetDraft"),
}
"""About nothing in a space, or about what is the caller's own."""
WHOLE_TENANT = {"CreateBackup", "GetBackup", "VerifyBackup", "RestoreBackup"}
"""Whoever may make backups sees everything in them."""
BY_LEASE = {"StoreDocumentation"}
SPACES = set(RPCS) - NO_SPACE - WHOLE_TENANT - BY_LEASE - {"DeleteSpace"}
_ID = re.compile("(doc|rev|review|comment|hook|tpl|job|rel|backup)_")
MEMBERS = ("READER", "WRITER", "OWNER")


@pytest.fixture
async def world(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[World]:
    """A space of members only: the reader, the writer, the owner."""
    tasks = FakeTasks()
    options = {"search_engine": "postgres"}
    with capture_logs():
        async with doc_service(postgres, tmp_path, options=options, tasks=tasks, sender=AnySender()) as served:
            yield await make_world(
                served,
                tasks,
                "vault",
                visibility=space_pb2.VISIBILITY_MEMBERS,
                members=[member(role.lower(), role) for role in MEMBERS],
            )


@pytest.mark.parametrize("role", ["viewer", "developer", "agent", "admin"])
async def test_a_role_may_what_the_permission_of_the_rpc_says(world: World, role: str) -> None:
    """In requests that name nothing that there is: the guard asks before anybody looks."""
    channel = await world.served.channel("owner", *ROLES[role])
    wrong = {}
    for name, rpc in RPCS.items():
        error = await rpc.told(channel, rpc.request())
        if (rpc.permission in ROLES[role]) == (error is not None and error.kind is Kind.FORBIDDEN):
            wrong[name] = error
    assert not wrong


async def test_nobody_may_anything_without_a_token(world: World) -> None:
    channel = await world.served.mesh.channel("gateway")
    told = {name: await rpc.told(channel, rpc.request()) for name, rpc in RPCS.items()}
    assert {name for name, error in told.items() if error is None or error.kind is not Kind.UNAUTHENTICATED} == set()


@pytest.mark.parametrize("role", MEMBERS)
async def test_a_member_may_what_their_role_says(world: World, role: str) -> None:
    channel = await world.served.channel(role.lower(), *(ROLES["admin"] - {"doc.admin"}))
    refused = set()
    for name in SPACES:
        error = await RPCS[name].told(channel, *await world.request(name))
        assert error is None or error.kind is Kind.FORBIDDEN, f"{name}: {error}"
        if error is not None:
            refused.add(name)
    assert refused == _refused(role)


def _refused(role: str) -> set[str]:
    not_owner = OWNER | AUTHOR_OR_OWNER
    return {"READER": AUTHOR | not_owner | WRITER, "WRITER": AUTHOR | not_owner, "OWNER": AUTHOR}[role]


@pytest.mark.parametrize("tenant_id", ["default", "other"])
async def test_who_does_not_find_a_space_is_told_the_same_as_of_one_that_is_not_there(
    world: World, tenant_id: str
) -> None:
    """A member of nothing of the tenant, and even the admin of another one."""
    permissions = ROLES["admin"] - ({"doc.admin"} if tenant_id == "default" else set())
    channel = await world.served.channel("stranger", *permissions, tenant_id=tenant_id)
    names = SPACES | (WHOLE_TENANT if tenant_id == "other" else set())
    differ, found = {}, set()
    for name in names:
        first, *rest = await world.request(name)
        hidden = await RPCS[name].told(channel, first, *rest)
        if hidden is None or hidden.kind is not Kind.NOT_FOUND:
            found.add(name)
        renamed = _renamed(first, world.space)
        none = await RPCS[name].told(channel, first, *rest)
        if _said(hidden, renamed) != _said(none, {}):
            differ[name] = (hidden, none)
    assert not differ
    assert found == {"DeleteTemplate"}, "one that is not there is no error"


def _renamed(message: Message, space: str) -> dict[str, str]:
    """Makes the request one about what is not there; what its names were, and are now."""
    renamed: dict[str, str] = {}
    for field, value in message.ListFields():
        if isinstance(value, Message) and not field.is_repeated:
            renamed |= _renamed(value, space)
        elif isinstance(value, str) and (value == space or _ID.match(value)):
            renamed[value] = value.partition("_")[0] + "_none" if value != space else "cellar"
            setattr(message, field.name, renamed[value])
    return renamed


def _said(error: AutomationError | None, renamed: Mapping[str, str]) -> str:
    message = "" if error is None else f"{error.kind} {error.reason} {error.message}"
    for old, new in renamed.items():
        message = message.replace(old, new)
    return message
