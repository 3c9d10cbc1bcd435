"""Templates over gRPC: kept in spaces, listed beside the library, filled in."""

from __future__ import annotations

from typing import Any

from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import space_pb2
from automesh.doc.v1 import space_service_pb2 as space_service
from automesh.doc.v1 import template_service_pb2 as pb
from automesh.doc.v1 import template_service_pb2_grpc as rpc
from services.doc.domain.templates.library import library
from tests.integration.doc.doc_house import Served, invalid, refused

TITLE = pb.Variable(name="title", required=True, label="Title")


async def templates(doc: Served, user: str = "ann", *permissions: str) -> rpc.TemplateServiceAsyncStub:
    return rpc.TemplateServiceStub(await doc.channel(user, *permissions))


async def make(doc: Served, *, user: str = "ann", **fields: Any) -> pb.Template:
    template = {"space": "handbook", "name": "Page", "body": "# {{ title }}\n", "variables": [TITLE]} | fields
    stub = await templates(doc, user)
    return (await stub.CreateTemplate(pb.CreateTemplateRequest(template=pb.Template(**template)))).template


async def render(doc: Served, template_id: str, *, space: str = "", **values: Any) -> pb.RenderTemplateResponse:
    request = pb.RenderTemplateRequest(template_id=template_id, space=space)
    request.values.update(values)
    return await (await templates(doc)).RenderTemplate(request)


async def listed(doc: Served, *, user: str = "ann", page_size: int = 0, space: str = "") -> list[tuple[str, str]]:
    stub, token, found = await templates(doc, user), "", []
    while True:
        request = pb.ListTemplatesRequest(space=space, page_size=page_size, page_token=token)
        page = await stub.ListTemplates(request)
        found += [(each.name, each.space) for each in page.templates]
        assert all(not each.body for each in page.templates)
        token = page.next_page_token
        if not token:
            return found


async def test_a_template_is_kept_and_filled_in(handbook: Served) -> None:
    number = pb.Variable(name="number", type=pb.VARIABLE_TYPE_NUMBER)
    number.default.number_value = 7
    made = await make(
        handbook,
        body="# {{ number }}: {{ title }}\n\n{{ space }} {{ user }}\n",
        path="pages/{{ number }}-{{ title | slug }}",
        variables=[TITLE, number],
    )
    stub = await templates(handbook)
    assert (await stub.GetTemplate(pb.GetTemplateRequest(template_id=made.template_id))).template == made
    filled = await render(handbook, made.template_id, title="Use it")
    assert (filled.content, filled.path) == ("# 7: Use it\n\nhandbook ann\n", "pages/7-use-it.md")
    assert (await render(handbook, made.template_id, title="A", number=8)).path == "pages/8-a.md"


async def test_what_a_template_makes_can_be_saved_as_it_is(handbook: Served) -> None:
    filled = await render(handbook, "adr", space="handbook", title="Use a cache", number=3)
    assert filled.path == "adr/0003-use-a-cache.md"
    stub = await handbook.documents()
    request = doc_pb.CreateDocumentRequest(space="handbook", path=filled.path, content=filled.content)
    written = await stub.CreateDocument(request)
    assert (written.document.title, list(written.findings)) == ("Use a cache", [])


async def test_the_library_and_the_spaces_are_listed_together_by_name(handbook: Served) -> None:
    await handbook.space("closed", visibility=space_pb2.VISIBILITY_MEMBERS)
    await make(handbook, name="How-to guide")
    await make(handbook, name="A page")
    expected = sorted(
        [(each.name, "") for each in library().values()] + [("A page", "handbook"), ("How-to guide", "handbook")]
    )
    assert sorted(await listed(handbook)) == expected
    assert [name for name, _ in await listed(handbook, page_size=3)] == [name for name, _ in expected]
    assert await listed(handbook, space="handbook") == await listed(handbook)


async def test_a_stale_update_changes_nothing(handbook: Served) -> None:
    made = await make(handbook)
    stub = await templates(handbook)
    changed = pb.Template()
    changed.CopyFrom(made)
    changed.body = "# {{ title }}!\n"
    kept = (await stub.UpdateTemplate(pb.UpdateTemplateRequest(template=changed))).template
    assert (kept.body, kept.etag != made.etag) == ("# {{ title }}!\n", True)
    error = await refused(stub.UpdateTemplate(pb.UpdateTemplateRequest(template=changed)))
    assert error.reason == "TEMPLATE_CHANGED"
    changed.etag = ""
    assert "etag" in (await invalid(stub.UpdateTemplate(pb.UpdateTemplateRequest(template=changed)))).message


async def test_the_library_stays_as_it_is(handbook: Served) -> None:
    stub = await templates(handbook)
    found = (await stub.GetTemplate(pb.GetTemplateRequest(template_id="adr"))).template
    assert found.body.startswith("---\ntitle: {{ title | yaml }}")
    assert (await refused(stub.UpdateTemplate(pb.UpdateTemplateRequest(template=found)))).reason == "TEMPLATE_READ_ONLY"
    deleted = stub.DeleteTemplate(pb.DeleteTemplateRequest(template_id="adr"))
    assert (await refused(deleted)).reason == "TEMPLATE_READ_ONLY"
    await make(handbook, name=found.name)


async def test_a_name_is_taken_once_in_a_space(handbook: Served) -> None:
    await make(handbook)
    assert (await refused(make(handbook))).reason == "TEMPLATE_TAKEN"


async def test_a_template_that_is_deleted_is_gone(handbook: Served) -> None:
    made = await make(handbook)
    stub = await templates(handbook)
    for _ in range(2):
        await stub.DeleteTemplate(pb.DeleteTemplateRequest(template_id=made.template_id))
    error = await refused(stub.GetTemplate(pb.GetTemplateRequest(template_id=made.template_id)))
    assert error.reason == "TEMPLATE_NOT_FOUND"


async def test_templates_go_with_their_space(handbook: Served) -> None:
    made = await make(handbook)
    await (await handbook.spaces()).DeleteSpace(space_service.DeleteSpaceRequest(space="handbook"))
    assert (await refused(render(handbook, made.template_id, title="x"))).reason == "TEMPLATE_NOT_FOUND"


async def test_who_may_not_write_in_the_space_may_not_change_its_templates(doc: Served) -> None:
    reader = space_pb2.Member(user="bob", role=space_pb2.MEMBER_ROLE_READER)
    writer = space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_WRITER)
    await doc.space(visibility=space_pb2.VISIBILITY_MEMBERS, members=[reader, writer])
    made = await make(doc)
    bob, eve = await templates(doc, "bob"), await templates(doc, "eve")
    assert ("Page", "handbook") in await listed(doc, user="bob")
    assert ("Page", "handbook") not in await listed(doc, user="eve")
    delete = pb.DeleteTemplateRequest(template_id=made.template_id)
    assert (await refused(bob.DeleteTemplate(delete))).reason == "PERMISSION_DENIED"
    assert (await refused(bob.UpdateTemplate(pb.UpdateTemplateRequest(template=made)))).reason == "PERMISSION_DENIED"
    assert (
        await refused(eve.GetTemplate(pb.GetTemplateRequest(template_id=made.template_id)))
    ).reason == "TEMPLATE_NOT_FOUND"
    assert (await refused(make(doc, user="bob", name="Other"))).reason == "PERMISSION_DENIED"
    assert (await refused(make(doc, user="eve", name="Other"))).reason == "SPACE_NOT_FOUND"


async def test_a_template_with_names_that_nobody_gives_is_not_kept(handbook: Served) -> None:
    error = await invalid(make(handbook, body="# {{ title }}\n\n{{ titel }}\n"))
    assert "body, line 3: 'titel' is no variable" in error.message
    error = await invalid(make(handbook, path="{{ number }}.md"))
    assert error.violations[0].field == "template.path"


async def test_a_template_that_cannot_be_read_is_not_kept(handbook: Served) -> None:
    assert "line 2" in (await invalid(make(handbook, body="\n{% for %}"))).message
    assert "stands alone" in (await invalid(make(handbook, body="{% include 'adr' %}"))).message


async def test_values_that_will_not_do_are_named(handbook: Served) -> None:
    error = await invalid(render(handbook, "adr", number="three", status="done", titel="x"))
    assert {violation.field for violation in error.violations} == {
        *("values.number", "values.status", "values.titel", "values.title")
    }


async def test_a_costly_template_is_refused_in_time_and_the_service_goes_on(handbook: Served) -> None:
    loop = "{% for a in range(9999) %}"
    made = await make(handbook, name="Endless", body=loop * 3 + "{% endfor %}" * 3 + "{{ title }}")
    huge = await make(handbook, name="Huge", body="{{ 'a' * 10**9 }}{{ title }}")
    for template_id in (made.template_id, huge.template_id):
        assert (await invalid(render(handbook, template_id, title="x"))).reason == "TEMPLATE_TOO_COSTLY"
    assert (await render(handbook, "how-to", goal="Go on")).path == "guides/go-on.md"


async def test_a_path_that_no_document_may_have_is_refused(handbook: Served) -> None:
    made = await make(handbook, path="../{{ title }}.md")
    assert "'..'" in (await invalid(render(handbook, made.template_id, title="x"))).message


async def test_bodies_are_sealed_at_rest(handbook: Served) -> None:
    await make(handbook, body="# {{ title }}\n\nvery private\n")
    rows = await handbook.database.fetch("SELECT body FROM template", tenant="default")
    assert b"private" not in bytes(rows[0]["body"])
    assert len(rows) == 1


async def test_templates_of_another_tenant_are_not_there(handbook: Served) -> None:
    made = await make(handbook)
    stub = rpc.TemplateServiceStub(await handbook.channel("mallory", tenant_id="other"))
    error = await refused(stub.GetTemplate(pb.GetTemplateRequest(template_id=made.template_id)))
    assert error.reason == "TEMPLATE_NOT_FOUND"
