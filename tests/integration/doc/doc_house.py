"""A whole doc service of this process, over mutual TLS, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from automesh.core.errors import AutomationError, ValidationError
from automesh.doc.v1 import branch_service_pb2_grpc as branch_rpc
from automesh.doc.v1 import document_pb2, space_pb2
from automesh.doc.v1 import document_service_pb2 as pb
from automesh.doc.v1 import document_service_pb2_grpc as rpc
from automesh.doc.v1 import space_service_pb2 as space_pb
from automesh.doc.v1 import space_service_pb2_grpc as space_rpc
from automesh.mesh.errors import from_rpc_error
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.postgres import PostgresForTests
from services.doc.engine.core import Outside
from services.doc.engine.engine import DocEngine
from services.doc.engine.options import Options

PERMISSIONS = ("doc.read", "doc.write", "doc.delete", "doc.review", "doc.publish")
ADMIN = (*PERMISSIONS, "doc.admin", "doc.backup")


@dataclass
class Served:
    """The service and people who call it."""

    engine: DocEngine
    mesh: InProcessMesh
    folder: Path
    database: Database

    async def channel(self, user: str = "ann", *permissions: str, tenant_id: str = "default") -> grpc.aio.Channel:
        """Somebody's: a user who may write, unless told otherwise."""
        return await self.mesh.signed_in(
            permissions or PERMISSIONS, subject=f"user_{user}", name=user, tenant_id=tenant_id
        )

    async def documents(self, user: str = "ann", *permissions: str) -> rpc.DocumentServiceAsyncStub:
        return rpc.DocumentServiceStub(await self.channel(user, *permissions))

    async def branches(self, user: str = "ann", *permissions: str) -> branch_rpc.BranchServiceAsyncStub:
        return branch_rpc.BranchServiceStub(await self.channel(user, *permissions))

    async def spaces(self, user: str = "root", *permissions: str) -> space_rpc.SpaceServiceAsyncStub:
        return space_rpc.SpaceServiceStub(await self.channel(user, *(permissions or ADMIN)))

    async def space(self, space: str = "handbook", **fields: Any) -> space_pb.CreateSpaceResponse:
        """A new space, by an admin."""
        stub = await self.spaces()
        return await stub.CreateSpace(space_pb.CreateSpaceRequest(space=space_pb2.Space(space=space, **fields)))

    async def write(
        self, path: str = "start.md", content: str = "# Start\n\nHello.\n", *, user: str = "ann", **fields: Any
    ) -> document_pb2.Document:
        """A new document, in the space "handbook" unless told otherwise."""
        fields.setdefault("space", "handbook")
        request = pb.CreateDocumentRequest(path=path, content=content, **fields)
        return (await (await self.documents(user)).CreateDocument(request)).document

    async def edit(
        self, document: document_pb2.Document, content: str, *, user: str = "ann", **fields: Any
    ) -> document_pb2.Document:
        """A new revision on top of what `document` shows."""
        fields.setdefault("expected_head", document.head)
        request = pb.UpdateDocumentRequest(
            document_id=document.document_id, branch=document.branch, content=content, **fields
        )
        return (await (await self.documents(user)).UpdateDocument(request)).document

    async def read(self, document_id: str, *, user: str = "ann", **fields: Any) -> document_pb2.Document:
        request = pb.GetDocumentRequest(document_id=document_id, **fields)
        return (await (await self.documents(user)).GetDocument(request)).document


@asynccontextmanager
async def doc_service(
    postgres: PostgresForTests, tmp_path: Path, *, options: dict[str, Any] | None = None, **around: Any
) -> AsyncIterator[Served]:
    """The service on a database of its own. `options`: fields of services.doc.engine.options.Options.

    `around`: fields of services.doc.engine.core.Outside.
    """
    sealer = Sealer(Keyring.generate())
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
        serving(database, sealer, tmp_path, options, **around) as served,
    ):
        yield served


@asynccontextmanager
async def serving(
    database: Database, sealer: Sealer, tmp_path: Path, options: dict[str, Any] | None = None, **around: Any
) -> AsyncIterator[Served]:
    """The service on a database that is there: a second one, or one that is started again."""
    outside = Outside(
        database=database,
        sealer=sealer,
        blobs=EncryptedBlobStore.open(tmp_path / "blobs", sealer),
        fanout=LocalFanout(),
        **around,
    )
    engine = DocEngine(outside, Options(scratch=tmp_path / "doc", **(options or {})))
    async with engine.open() as bounds, in_process_mesh("doc", bounds) as mesh:
        yield Served(engine, mesh, tmp_path, database)


async def refused(call: Any) -> AutomationError:
    """The error that the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return from_rpc_error(error.value)


async def invalid(call: Any) -> ValidationError:
    """The error of a call that is wrong in itself; it names the fields."""
    error = await refused(call)
    assert isinstance(error, ValidationError)
    return error
