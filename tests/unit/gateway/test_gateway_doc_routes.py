"""The paths of the doc service in the gateway's route table, as browsers and generated clients write them."""

import pytest

from gateway.descriptors import load_catalog, own_descriptors
from gateway.endpoint import Endpoint
from gateway.routing import RouteTable, parse_path
from gateway.site import build_site


@pytest.fixture(scope="module")
def routes() -> RouteTable[Endpoint]:
    return build_site(load_catalog(own_descriptors())).routes


def found(routes: RouteTable[Endpoint], method: str, path: str) -> tuple[str, dict[str, str]]:
    match = routes.match(method, parse_path(path.encode()))
    assert match is not None, f"nothing takes {method} {path}"
    return match.target.rpc.full_name.rpartition(".")[2], match.captures


@pytest.mark.parametrize(
    ("method", "path", "rpc", "captures"),
    [
        ("GET", "/api/v1/docs", "ListDocuments", {}),
        ("GET", "/api/v1/docs:search", "SearchDocuments", {}),
        ("GET", "/api/v1/docs:suggest", "SuggestQueries", {}),
        ("GET", "/api/v1/docs:lookUp", "LookUpDocument", {}),
        ("POST", "/api/v1/docs:check", "CheckDocument", {}),
        ("GET", "/api/v1/docs/doc_1", "GetDocument", {"document_id": "doc_1"}),
        ("GET", "/api/v1/docs/doc_1:diff", "DiffDocument", {"document_id": "doc_1"}),
        ("POST", "/api/v1/docs/doc_1:merge", "MergeDocument", {"document_id": "doc_1"}),
        ("GET", "/api/v1/docs/doc_1/revisions", "ListRevisions", {"document_id": "doc_1"}),
        ("POST", "/api/v1/spaces/handbook/docs:import", "ImportArchive", {"space": "handbook"}),
        ("POST", "/api/v1/spaces/handbook/site:rollBack", "RollBackSite", {"space": "handbook"}),
        ("GET", "/api/v1/spaces/handbook/site", "GetSite", {"space": "handbook"}),
        ("GET", "/api/v1/doc/jobs/job_1:watch", "WatchJob", {"job_id": "job_1"}),
        ("PUT", "/api/v1/docs/doc_1", "UpdateDocument", {"document_id": "doc_1"}),
        ("DELETE", "/api/v1/docs/doc_1", "DeleteDocument", {"document_id": "doc_1"}),
    ],
)
def test_verbs_and_ids_lead_to_their_methods(
    routes: RouteTable[Endpoint], method: str, path: str, rpc: str, captures: dict[str, str]
) -> None:
    assert found(routes, method, path) == (rpc, captures)


@pytest.mark.parametrize(
    ("path", "captured"),
    [
        ("guides/start.md", "guides/start.md"),
        ("guides/erste%20Schritte/%C3%9Cbersicht.md", "guides/erste Schritte/Übersicht.md"),
        ("guides/\N{LATIN CAPITAL LETTER U WITH DIAERESIS}.md", "guides/Ü.md"),
        ("%E6%96%87%E6%A1%A3/%E5%BC%80%E5%A7%8B.md", "文档/开始.md"),
        ("a%3Fb%23c%25d.md", "a?b#c%d.md"),
        ("notes/10:30.md", "notes/10:30.md"),
        ("docs:search", "docs:search"),
        # Not decoded, as google.api.http has it for captures of several segments; the doc service reads it as a slash.
        ("guides%2Fstart.md", "guides%2Fstart.md"),
        ("guides%2fstart.md", "guides%2fstart.md"),
    ],
)
def test_the_path_of_a_document_arrives(routes: RouteTable[Endpoint], path: str, captured: str) -> None:
    want = {"space": "handbook", "path": captured}
    assert found(routes, "GET", f"/api/v1/spaces/handbook/docs/{path}") == ("LookUpDocument", want)
    assert found(routes, "PUT", f"/api/v1/spaces/handbook/attachments/{path}") == ("UploadAttachment", want)
    assert found(routes, "GET", f"/api/v1/spaces/handbook/attachments/{path}") == ("DownloadAttachment", want)


def test_what_is_beside_the_documents_of_a_space_is_no_path_of_one(routes: RouteTable[Endpoint]) -> None:
    assert found(routes, "GET", "/api/v1/spaces/handbook/attachments") == ("ListAttachments", {"space": "handbook"})
    assert found(routes, "GET", "/api/v1/spaces/handbook/trash") == ("ListTrash", {"space": "handbook"})


@pytest.mark.parametrize("path", ["/api/v1/spaces/handbook/docs/a//b", "/api/v1/spaces/handbook/docs/a/"])
def test_empty_parts_lead_nowhere(routes: RouteTable[Endpoint], path: str) -> None:
    assert routes.match("GET", parse_path(path.encode())) is None


def test_answers_with_etags_and_writes_with_heads_are_known(routes: RouteTable[Endpoint]) -> None:
    tagged = {
        endpoint.rpc.full_name.rpartition(".")[2]
        for endpoint in build_site(load_catalog(own_descriptors())).endpoints
        if endpoint.etag is not None
    }
    assert {"GetDocument", "LookUpDocument", "RenderDocument", "GetSpace", "GetSite", "GetTemplate"} <= tagged
    assert "ListDocuments" not in tagged

    def expected(method: str, path: str) -> tuple[str, ...]:
        match = routes.match(method, parse_path(path.encode()))
        return match.target.expected if match else ("nothing takes it",)

    assert expected("PUT", "/api/v1/docs/doc_1") == ("expected_head",)
    assert expected("DELETE", "/api/v1/docs/doc_1") == ("expected_head",)
    assert expected("PUT", "/api/v1/spaces/handbook") == ("space", "etag")
    assert expected("PUT", "/api/v1/spaces/handbook/site") == ("site", "etag")
    assert expected("PUT", "/api/v1/templates/tpl_1") == ("template", "etag")
    assert expected("DELETE", "/api/v1/comments/comment_1") == ()
