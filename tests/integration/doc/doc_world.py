"""A space with something of everything in it, and for each rpc a request that goes well there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from automesh.core.webhooks import Answer
from automesh.doc.v1 import document_pb2, job_pb2, review_service_pb2, space_pb2
from services.auth.domain.roles import ROLES
from services.doc.fakes.tasks import FakeTasks
from tests.integration.doc.doc_house import Served
from tests.integration.doc.doc_house_transfer import zipped
from tests.integration.doc.doc_rpcs import RPCS

Fields = Mapping[str, Any]
TEXT = "---\ntags: [a]\n---\n# Start\n\nHello, everybody.\n"


class AnySender:
    """A Sender that may send everywhere, and sends nowhere."""

    def check(self, url: str) -> None:
        """Takes any."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """All goes well."""
        return Answer(200)


@dataclass
class World:
    """A space, and root, who may everything and has made what is in it."""

    served: Served
    tasks: FakeTasks
    root: grpc.aio.Channel
    space: str
    ids: dict[str, str] = field(default_factory=dict)
    document: document_pb2.Document = field(default_factory=document_pb2.Document)
    numbers: count[int] = field(default_factory=lambda: count(1))

    async def do(self, name: str, **fields: Any) -> Any:
        """What an rpc answers root."""
        return (await RPCS[name].call(self.root, *_messages(name, fields)))[0]

    async def request(self, name: str) -> Sequence[Message]:
        """One that goes well; for what can be done once only it makes something new."""
        made = REQUESTS[name](self)
        return _messages(name, made if isinstance(made, Mapping) else await made)

    async def agent(self) -> grpc.aio.Channel:
        """Of an agent, who stores documentation."""
        return await self.served.mesh.channel("agent")

    def new(self, kind: str) -> str:
        """A name that nothing has yet."""
        return f"{kind}-{next(self.numbers)}"

    async def page(self, **fields: Any) -> document_pb2.Document:
        """A new document."""
        made = await self.do("CreateDocument", space=self.space, path=f"{self.new('page')}.md", content=TEXT, **fields)
        return made.document  # type: ignore[no-any-return]  # answers of rpcs called by name have no type

    async def branch(self) -> str:
        """A new branch, on which the document is another."""
        name = self.new("branch")
        await self.do("CreateBranch", space=self.space, branch=name)
        await self.do(
            "UpdateDocument", document_id=self.document.document_id, branch=name,
            expected_head=self.document.head, content=f"{TEXT}\n{name}\n",
        )  # fmt: skip
        return name

    async def review(self) -> str:
        """A new review of a new branch."""
        made = await self.do("CreateReview", space=self.space, branch=await self.branch(), title="Better")
        return str(made.review.review_id)

    async def comment(self) -> str:
        """A new comment."""
        made = await self.do("CreateComment", document_id=self.document.document_id, text="Well said.")
        return str(made.comment.comment_id)

    async def hook(self) -> str:
        """A new webhook."""
        made = await self.do("CreateDocWebhook", space=self.space, url="https://hooks.example.org/x")
        return str(made.webhook.webhook_id)

    async def template(self) -> str:
        """A new template."""
        made = await self.do("CreateTemplate", template=_template(self))
        return str(made.template.template_id)

    async def export(self, **fields: Any) -> job_pb2.Job:
        """A job."""
        return (await self.do("ExportArchive", space=self.space, **fields)).job  # type: ignore[no-any-return]  # as above


async def make_world(served: Served, tasks: FakeTasks, space: str, **fields: Any) -> World:
    """In a new space; `fields` are those of automesh.doc.v1.Space."""
    root = await served.channel("root", *ROLES["admin"])
    world = World(served, tasks, root, space)
    await world.do("CreateSpace", space={"space": space, **fields})
    world.document = await world.page()
    backup = (await world.do("CreateBackup", spaces=[space], wait={"seconds": 60})).job
    release = (await world.do("PublishSite", space=space, wait={"seconds": 60})).release
    await world.do("PublishSite", space=space, message="again", wait={"seconds": 60})
    await world.do("SaveDraft", draft_id="draft", space=space, content="mine")
    trashed = await world.page()
    await world.do("DeleteDocument", document_id=trashed.document_id, expected_head=trashed.head)
    world.ids.update(
        branch=await world.branch(),
        comment=await world.comment(),
        review=await world.review(),
        hook=await world.hook(),
        template=await world.template(),
        export=(await world.export(wait={"seconds": 60})).job_id,
        backup=backup.backup_id,
        release=release.release_id,
    )
    await _twice(world)
    return world


async def _twice(world: World) -> None:
    """There are two of everything that is listed."""
    await world.page()
    await _file(world)
    await _file(world)
    await world.comment()
    await world.do("SaveDraft", draft_id="another", space=world.space, content="mine, too")
    for user in ("ben", "eve"):
        who = await world.served.channel(user, *ROLES["admin"])
        await RPCS["RecordView"].call(who, *_messages("RecordView", {"document_id": world.document.document_id}))
        said = {"document_id": world.document.document_id, "text": "@root: well said."}
        await RPCS["CreateComment"].call(who, *_messages("CreateComment", said))


def _messages(name: str, fields: Fields) -> Sequence[Message]:
    """Of the fields of the first; "then" has those of the others."""
    rest = fields.get("then", ())
    first = {key: value for key, value in fields.items() if key != "then"}
    return [RPCS[name].request(**each) for each in (first, *rest)]


def _template(world: World) -> Fields:
    variable = {"name": "title", "type": "VARIABLE_TYPE_CHOICE", "choices": ["a"], "default": {"string_value": "a"}}
    return {"space": world.space, "name": world.new("tpl"), "body": "# {{ title }}\n", "variables": [variable]}


async def _of_page(world: World, **fields: Any) -> Fields:
    page = await world.page()
    return {"document_id": page.document_id, "expected_head": page.head, **fields}


async def _file(world: World) -> str:
    path = f"{world.new('file')}.txt"
    await world.do("UploadAttachment", **_upload(world, path))
    return path


def _upload(world: World, path: str) -> Fields:
    return {"space": world.space, "path": path, "content": HttpBody(data=b"hello")}


async def _old_file(world: World) -> Fields:
    return {"space": world.space, "path": await _file(world)}


async def _edited_space(world: World) -> Fields:
    found = (await world.do("GetSpace", space=world.space)).space
    return {"space": found}


async def _new_space(world: World) -> Fields:
    name = world.new("space")
    await world.do("CreateSpace", space={"space": name})
    return {"space": name}


async def _edited_site(world: World) -> Fields:
    return {"site": (await world.do("GetSite", space=world.space)).site}


async def _edited_template(world: World) -> Fields:
    return {"template": (await world.do("GetTemplate", template_id=await world.template())).template}


async def _rolled_back(world: World) -> Fields:
    current = (await world.do("GetSite", space=world.space)).site.current
    found = (await world.do("ListReleases", space=world.space)).releases
    earlier = next(each.release_id for each in found if not each.preview and each.release_id != current)
    return {"space": world.space, "release_id": earlier, "reason": "a mistake"}


async def _drafted(world: World) -> Fields:
    return {"draft_id": world.new("draft"), "space": world.space, "path": "new.md", "content": "mine"}


def _id(kind: str) -> Callable[[World], Fields]:
    """A request that names one thing that there is."""
    name = {"hook": "webhook_id", "export": "job_id"}.get(kind, f"{kind}_id")
    return lambda world: {name: world.ids[kind]}


def _on_document(**fields: Any) -> Callable[[World], Fields]:
    return lambda world: {"document_id": world.document.document_id, **fields}


def _in_space(**fields: Any) -> Callable[[World], Fields]:
    return lambda world: {"space": world.space, **fields}


def _anywhere(**fields: Any) -> Callable[[World], Fields]:
    return lambda world: fields


def _making(kind: str, maker: Callable[[World], Awaitable[str]], **fields: Any) -> Callable[[World], Awaitable[Fields]]:
    """A request that names something new."""

    async def fields_of(world: World) -> Fields:
        return {kind: await maker(world), **fields}

    return fields_of


def _making_in_space(
    kind: str, maker: Callable[[World], Awaitable[str]], **fields: Any
) -> Callable[[World], Awaitable[Fields]]:
    async def fields_of(world: World) -> Fields:
        return {"space": world.space, kind: await maker(world), **fields}

    return fields_of


async def _new_name(world: World) -> str:
    return world.new("name")


async def _new_export(world: World) -> str:
    return str((await world.export()).job_id)


async def _new_path(world: World) -> str:
    return f"{world.new('new')}.md"


def member(user: str, role: str) -> space_pb2.Member:
    """A member; the role is the name of one."""
    return space_pb2.Member(user=user, role=space_pb2.MemberRole.Value(f"MEMBER_ROLE_{role}"))


async def _restored(world: World) -> Fields:
    page = await world.page()
    gone = await world.do("DeleteDocument", document_id=page.document_id, expected_head=page.head)
    return {"document_id": page.document_id, "expected_head": gone.document.head}


async def _merging(world: World) -> Fields:
    """A review of a branch on which only a new document is."""
    name = world.new("branch")
    await world.do("CreateBranch", space=world.space, branch=name)
    await world.page(branch=name)
    made = await world.do("CreateReview", space=world.space, branch=name, title="More")
    return {"review_id": made.review.review_id}


REQUESTS: Mapping[str, Callable[[World], Fields | Awaitable[Fields]]] = {
    "RecordView": _on_document(),
    "RecordClick": _on_document(search_id="search_1", rank=1),
    "GetSpaceStatistics": _in_space(),
    "ExportStatistics": _in_space(),
    "ListReaders": _on_document(),
    "UploadAttachment": lambda world: _upload(world, f"{world.new('file')}.txt"),
    "DownloadAttachment": _old_file,
    "ListAttachments": _in_space(),
    "DeleteAttachment": _old_file,
    "CreateBackup": lambda world: {"spaces": [world.space], "wait": {"seconds": 60}},
    "GetBackup": _id("backup"),
    "ListBackups": _anywhere(),
    "VerifyBackup": lambda world: {"backup_id": world.ids["backup"], "wait": {"seconds": 60}},
    "RestoreBackup": lambda world: {
        "backup_id": world.ids["backup"], "space": world.space, "document_id": world.document.document_id,
        "as_space": world.new("restored"), "wait": {"seconds": 60},
    },
    "DeleteBackup": _anywhere(backup_id="backup_none"),
    "CreateBranch": _making_in_space("branch", _new_name),
    "ListBranches": _in_space(),
    "CompareBranches": lambda world: {"space": world.space, "branch": world.ids["branch"]},
    "DeleteBranch": _making_in_space("branch", World.branch),
    "CreateComment": lambda world: {
        "document_id": world.document.document_id, "text": "@ben: well.",
        "anchor": {"revision_id": world.document.head, "start": 1, "end": 5},
    },
    "ListComments": _on_document(),
    "UpdateComment": _making("comment_id", World.comment, text="Well."),
    "ResolveComment": _making("comment_id", World.comment),
    "DeleteComment": _making("comment_id", World.comment),
    "CreateDocument": _making_in_space("path", _new_path, content=TEXT, message="first"),
    "GetDocument": _on_document(),
    "LookUpDocument": lambda world: {"space": world.space, "path": world.document.path},
    "ListDocuments": _in_space(),
    "UpdateDocument": lambda world: _of_page(world, content="# Other\n"),
    "DeleteDocument": _of_page,
    "RestoreDocument": _restored,
    "ListRevisions": _on_document(),
    "DiffDocument": _on_document(),
    "MergeDocument": lambda world: {
        "document_id": world.document.document_id, "ours": world.document.head, "content": "# Mine\n",
    },
    "BlameDocument": _on_document(),
    "SearchHistory": _in_space(text="Hello"),
    "RenderDocument": _on_document(),
    "ListTrash": _in_space(),
    "SaveDraft": _drafted,
    "GetDraft": _anywhere(draft_id="draft"),
    "ListDrafts": _anywhere(),
    "DeleteDraft": _anywhere(draft_id="none"),
    "EditDocument": lambda world: {"join": {"document_id": world.document.document_id}},
    "GetJob": _id("export"),
    "WatchJob": _id("export"),
    "ListJobs": _in_space(),
    "CancelJob": _making("job_id", _new_export),
    "ListNotifications": _anywhere(),
    "MarkSeen": _anywhere(),
    "Follow": lambda world: {"space": world.space, "document_id": world.document.document_id},
    "CreateDocWebhook": _in_space(url="https://hooks.example.org/y"),
    "ListDocWebhooks": _in_space(),
    "EnableDocWebhook": lambda world: {"space": world.space, "webhook_id": world.ids["hook"]},
    "DeleteDocWebhook": _making_in_space("webhook_id", World.hook),
    "CreateReview": _making_in_space("branch", World.branch, title="Better"),
    "GetReview": _id("review"),
    "ListReviews": _in_space(),
    "JudgeReview": lambda world: {"review_id": world.ids["review"], "verdict": review_service_pb2.VERDICT_APPROVED},
    "MergeReview": _merging,
    "CloseReview": _making("review_id", World.review),
    "SearchDocuments": _in_space(query="hello"),
    "SuggestQueries": _in_space(prefix="he"),
    "GetIndexStatus": _anywhere(),
    "PublishSite": _in_space(preview=True),
    "RollBackSite": _rolled_back,
    "ResumeAutoPublish": _in_space(),
    "UnpublishSite": _in_space(reason="a mistake"),
    "GetSite": _in_space(),
    "UpdateSite": _edited_site,
    "GetRelease": lambda world: {"space": world.space, "release_id": world.ids["release"]},
    "WatchRelease": lambda world: {"space": world.space, "release_id": world.ids["release"]},
    "ListReleases": _in_space(),
    "ListSwitches": _in_space(),
    "GetPreviewLink": lambda world: {"space": world.space, "release_id": world.ids["release"]},
    "CreateSpace": lambda world: {"space": {"space": world.new("space"), "members": [member("ben", "READER")]}},
    "GetSpace": _in_space(),
    "ListSpaces": _anywhere(),
    "UpdateSpace": _edited_space,
    "DeleteSpace": _new_space,
    "CreateTemplate": lambda world: {"template": _template(world)},
    "GetTemplate": _id("template"),
    "ListTemplates": _in_space(),
    "UpdateTemplate": _edited_template,
    "DeleteTemplate": _making("template_id", World.template),
    "RenderTemplate": _id("template"),
    "ImportArchive": lambda world: {"space": world.space, "content": HttpBody(data=zipped({"a.md": "# A\n"}))},
    "ExportArchive": _in_space(),
    "DownloadExport": _id("export"),
    "StoreDocumentation": lambda world: {
        "header": {"lease_token": world.tasks.take({"space": world.space}, created_by="root")},
        "then": [{"path": "made.md"}, {"chunk": b"# Made\n"}],
    },
    "CheckDocument": _in_space(path="a.md", content=TEXT),
    "ListFindings": _in_space(),
    "ListRules": _anywhere(),
}  # fmt: skip
"""Of the fields of the first message; "then" has those of the messages after it."""
