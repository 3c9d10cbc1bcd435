"""Long texts of many callers are looked at some at a time, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from automesh.doc.v1 import validation_service_pb2 as pb
from automesh.doc.v1 import validation_service_pb2_grpc as rpc
from services.doc.domain.documents.pace import AT_ONCE, LONG
from services.doc.domain.documents.text import Text
from services.doc.domain.spaces.space import Space
from services.doc.domain.validation.checks import Finding
from tests.integration.doc.doc_house import Served

LONG_TEXT = "# A\n\n" + "words and words\n" * (LONG // 15)


class HeldChecks:
    """Checks that let short texts through and hold long ones until they are told to go on."""

    def __init__(self) -> None:
        self.begun, self.too_many, self.go_on = 0, asyncio.Event(), asyncio.Event()

    async def findings(self, space: Space, branch: str, path: str, text: Text) -> Sequence[Finding]:
        if len(text.content) > LONG:
            self.begun += 1
            if self.begun > AT_ONCE:
                self.too_many.set()
            await self.go_on.wait()
        return []


@pytest.mark.parametrize("what", ["check", "create"])
@pytest.mark.slow
async def test_of_many_long_texts_some_are_looked_at_and_short_ones_pass(
    handbook: Served, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    held = HeldChecks()
    monkeypatch.setattr(handbook.engine.core.checks, "findings", held.findings)
    waiting = [asyncio.create_task(ask(handbook, what, f"long{number}.md", LONG_TEXT)) for number in range(6)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(held.too_many.wait(), 2)
    assert held.begun == AT_ONCE
    async with asyncio.timeout(10):
        await ask(handbook, what, "short.md", "# Short\n")
    held.go_on.set()
    await asyncio.gather(*waiting)
    assert held.begun == len(waiting)


async def ask(doc: Served, what: str, path: str, content: str) -> None:
    if what == "create":
        await doc.write(path, content)
        return
    stub = rpc.ValidationServiceStub(await doc.channel())
    await stub.CheckDocument(pb.CheckDocumentRequest(space="handbook", path=path, content=content))
