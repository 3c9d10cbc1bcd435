"""Rules of a space stay within what the database can reckon with, and the audit log says which space was meant."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest

from automesh.doc.v1 import space_pb2
from automesh.doc.v1 import space_service_pb2 as pb
from tests.integration.doc.doc_house import Served, invalid, refused

LONGEST = timedelta(days=36_525)
MAY_END = {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ABORTED}


def lasting(field: str, span: timedelta) -> space_pb2.SpaceRules:
    rules = space_pb2.SpaceRules()
    getattr(rules, field).FromTimedelta(span)
    return rules


@pytest.mark.parametrize("field", ["trash_retention", "review_after"])
async def test_a_rule_that_lasts_longer_than_a_hundred_years_is_refused(doc: Served, field: str) -> None:
    """A retention of ten thousand years would lead before the first day of the database, for every space at once."""
    await doc.space("long", rules=lasting(field, LONGEST))
    for span in (LONGEST + timedelta(seconds=1), timedelta(days=3_652_500)):
        error = await invalid(doc.space("longer", rules=lasting(field, span)))
        assert error.violations[0].field == f"space.rules.{field}"


@pytest.mark.parametrize("word", ["", "  ", "x" * 101, "a\nb"])
async def test_a_word_that_nobody_could_write_is_refused(doc: Served, word: str) -> None:
    error = await invalid(doc.space(rules=space_pb2.SpaceRules(words=[word])))
    assert error.violations[0].field == "space.rules.words"


async def test_the_audit_log_says_which_space_and_which_document(doc: Served) -> None:
    await doc.space()
    document = await doc.write()
    await doc.edit(document, "# Other\n")
    spaces = await doc.spaces()
    await spaces.DeleteSpace(pb.DeleteSpaceRequest(space="handbook", force=True, reason="over"))
    told = [(event.method.rpartition("/")[2], event.resource) for event in doc.mesh.audited]
    assert told == [
        ("CreateSpace", "handbook"),
        ("CreateDocument", document.document_id),
        ("UpdateDocument", document.document_id),
        ("DeleteSpace", "handbook"),
    ]


@pytest.mark.slow
async def test_a_space_is_deleted_by_force_while_others_write_to_it(doc: Served) -> None:
    """Both hold what the other wants: the database ends one of them, and it is never the deletion that is told so."""
    spaces = await doc.spaces()
    for number in range(25):
        space = f"space-{number}"
        await doc.space(space)
        documents = [await doc.write(f"{each}.md", space=space) for each in range(6)]
        writing = [asyncio.create_task(_edited(doc, each)) for each in documents]
        await spaces.DeleteSpace(pb.DeleteSpaceRequest(space=space, force=True, reason="over"))
        assert set(await asyncio.gather(*writing)) <= MAY_END
        assert (await refused(spaces.GetSpace(pb.GetSpaceRequest(space=space)))).reason == "SPACE_NOT_FOUND"


async def _edited(doc: Served, document: Any) -> grpc.StatusCode:
    try:
        await doc.edit(document, "# New\n")
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
