"""`automesh doc space|new|mv|rm|restore|publish|review|template|comment|backup`: what the service is asked."""

from __future__ import annotations

from typing import Any

import pytest

from automesh.doc.v1 import (
    backup_service_pb2,
    comment_service_pb2,
    document_pb2,
    job_pb2,
    job_service_pb2,
    review_service_pb2,
    site_pb2,
    site_service_pb2,
    space_pb2,
    space_service_pb2,
    template_service_pb2,
)
from automesh.doc.v1 import document_service_pb2 as pb
from services.doc.domain.errors import DocumentNotFound
from tests.unit.cli.conftest import ScriptedGateway, Terminal

PLACE = "handbook:guides/start.md"


def page(**fields: Any) -> document_pb2.Document:
    known = {"document_id": "doc_1", "space": "handbook", "path": "guides/start.md", "head": "rev_3"}
    return document_pb2.Document(**{**known, **fields})


@pytest.fixture(autouse=True)
def document(gateway: ScriptedGateway) -> None:
    gateway.on("LookUpDocument", pb.LookUpDocumentResponse(document=page(content="the port is 80\n")))


# ---------------------------------------------------------------------- spaces
def test_a_space_is_made_with_its_rules(automesh: Terminal, gateway: ScriptedGateway) -> None:
    gateway.on("CreateSpace", space_service_pb2.CreateSpaceResponse())
    words = "doc space create handbook --title Handbook --visible members --member ann=owner --level spelling=refuse"
    done = automesh(*words.split(), "--approvals", "2")
    assert done.exit_code == 0, done.output
    space = gateway.requests("CreateSpace")[0].space
    assert (space.space, space.visibility) == ("handbook", space_pb2.VISIBILITY_MEMBERS)
    assert [(each.user, each.role) for each in space.members] == [("ann", space_pb2.MEMBER_ROLE_OWNER)]
    assert (space.rules.required_approvals, dict(space.rules.levels)) == (2, {"spelling": space_pb2.RULE_LEVEL_REFUSE})


def test_what_is_not_named_stays_when_a_space_is_changed(automesh: Terminal, gateway: ScriptedGateway) -> None:
    kept = space_pb2.Space(
        space="handbook", title="Handbook", etag="v7",
        members=[
            space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_OWNER),
            space_pb2.Member(user="bob", role=space_pb2.MEMBER_ROLE_READER),
        ],
        rules=space_pb2.SpaceRules(words=["kubelet"], levels={"spelling": space_pb2.RULE_LEVEL_OFF}),
    )  # fmt: skip
    gateway.on("GetSpace", space_service_pb2.GetSpaceResponse(space=kept))
    gateway.on("UpdateSpace", space_service_pb2.UpdateSpaceResponse())
    done = automesh(
        "doc", "space", "edit", "handbook", "--member", "bob=", "--level", "spelling=default", "--level", "x=warn"
    )
    assert done.exit_code == 0, done.output
    sent = gateway.requests("UpdateSpace")[0].space
    assert (sent.title, sent.etag, [each.user for each in sent.members]) == ("Handbook", "v7", ["ann"])
    assert (list(sent.rules.words), dict(sent.rules.levels)) == (["kubelet"], {"x": space_pb2.RULE_LEVEL_WARN})


def test_rules_come_from_a_file_with_short_names(automesh: Terminal, gateway: ScriptedGateway) -> None:
    file = automesh.folder / "rules.yaml"
    file.write_text("levels: {broken-link: refuse}\nreview_after: 86400s\nfront_matter_schema: {type: object}\n")
    gateway.on("CreateSpace", space_service_pb2.CreateSpaceResponse())
    done = automesh("doc", "space", "create", "handbook", "--rules", str(file))
    assert done.exit_code == 0, done.output
    rules = gateway.requests("CreateSpace")[0].space.rules
    assert (rules.levels["broken-link"], rules.review_after.seconds) == (space_pb2.RULE_LEVEL_REFUSE, 86400)
    assert rules.front_matter_schema["type"] == "object"


@pytest.mark.parametrize(
    "flag", ["--member=ann", "--member=ann=king", "--level=spelling", "--level=spelling=loud", "--visible=all"]
)
def test_a_word_that_a_flag_does_not_know_is_refused(automesh: Terminal, gateway: ScriptedGateway, flag: str) -> None:
    done = automesh("doc", "space", "create", "handbook", flag)
    assert done.exit_code == 1
    assert gateway.seen == []


# ---------------------------------------------------------------------- documents
def test_a_file_becomes_a_document(automesh: Terminal, gateway: ScriptedGateway) -> None:
    finding = document_pb2.Finding(rule="bare-url", level="warn", line=3, message="write it as a link")
    gateway.on("CreateDocument", pb.CreateDocumentResponse(document=page(), findings=[finding]))
    done = automesh("doc", "new", PLACE, "--file", "-", typed="# Start\n")
    assert done.exit_code == 0, done.output
    assert gateway.requests("CreateDocument")[0].content == "# Start\n"
    assert "bare-url" in done.output


def test_a_file_that_is_not_utf8_is_refused_with_the_way_to_mend_it(automesh: Terminal) -> None:
    file = automesh.folder / "latin.md"
    file.write_bytes("Käse".encode("latin-1"))
    done = automesh("doc", "new", PLACE, "--file", str(file))
    assert "iconv" in getattr(done.exception, "next_step", "")


def test_moving_and_removing_name_the_head_that_was_read(automesh: Terminal, gateway: ScriptedGateway) -> None:
    gateway.on("UpdateDocument", pb.UpdateDocumentResponse(document=page(path="new.md")))
    gateway.on("DeleteDocument", pb.DeleteDocumentResponse(document=page()))
    assert automesh("doc", "mv", PLACE, "new.md").exit_code == 0
    moved = gateway.requests("UpdateDocument")[0]
    assert (moved.path, moved.expected_head, moved.HasField("content")) == ("new.md", "rev_3", False)
    done = automesh("doc", "rm", PLACE, "-m", "old")
    removed = gateway.requests("DeleteDocument")[0]
    assert (removed.expected_head, removed.message) == ("rev_3", "old")
    assert "automesh doc restore doc_1" in done.output


def test_a_document_is_found_in_the_trash_by_its_place(automesh: Terminal, gateway: ScriptedGateway) -> None:
    gateway.on("LookUpDocument", DocumentNotFound("nothing is there"))
    gateway.on("ListTrash", pb.ListTrashResponse(documents=[page(document_id="doc_9", head="rev_9")]))
    gateway.on("RestoreDocument", pb.RestoreDocumentResponse(document=page()))
    done = automesh("doc", "restore", "handbook:guides/start")
    assert done.exit_code == 0, done.output
    request = gateway.requests("RestoreDocument")[0]
    assert (request.document_id, request.expected_head, request.revision_id) == ("doc_9", "rev_9", "")


def test_an_unknown_document_says_where_to_look(automesh: Terminal, gateway: ScriptedGateway) -> None:
    gateway.on("LookUpDocument", DocumentNotFound("there is no document"))
    assert "automesh doc list" in getattr(automesh("doc", "show", PLACE).exception, "next_step", "")


def test_a_document_is_printed_as_it_is_for_programs(automesh: Terminal) -> None:
    assert automesh("doc", "show", PLACE).output == "the port is 80\n"


# ---------------------------------------------------------------------- sites
def release(state: Any, **fields: Any) -> site_pb2.Release:
    return site_pb2.Release(release_id="rel_1", state=state, url="http://127.0.0.1:8081/handbook/", pages=3, **fields)


def building(gateway: ScriptedGateway, end: site_pb2.Release) -> None:
    begun = release(site_pb2.RELEASE_STATE_BUILDING)
    gateway.on("PublishSite", site_service_pb2.PublishSiteResponse(release=begun))
    steps = [site_service_pb2.WatchReleaseResponse(release=each, fraction=0.5, step="pages") for each in (begun, end)]
    gateway.on("WatchRelease", steps)
    gateway.on("GetRelease", site_service_pb2.GetReleaseResponse(release=end))
    gateway.on("GetSite", site_service_pb2.GetSiteResponse(site=site_pb2.Site(space="handbook", public=True)))
    link = site_service_pb2.GetPreviewLinkResponse(url="http://127.0.0.1:8081/~preview/rel_1/?key=k")
    gateway.on("GetPreviewLink", link)


def test_a_site_is_published_and_its_address_is_told(automesh: Terminal, gateway: ScriptedGateway) -> None:
    building(gateway, release(site_pb2.RELEASE_STATE_CURRENT))
    done = automesh("doc", "publish", "handbook", "-m", "release 2")
    assert done.exit_code == 0, done.output
    assert "http://127.0.0.1:8081/handbook/" in done.output
    assert gateway.requests("PublishSite")[0].message == "release 2"
    assert gateway.requests("GetPreviewLink") == []


def test_a_preview_comes_with_a_link_that_opens_it(automesh: Terminal, gateway: ScriptedGateway) -> None:
    building(gateway, release(site_pb2.RELEASE_STATE_READY, preview=True))
    done = automesh("doc", "preview", "handbook", "--branch", "next")
    assert "?key=k" in done.output
    request = gateway.requests("PublishSite")[0]
    assert (request.preview, request.branch) == (True, "next")


def test_a_site_that_fails_its_checks_says_which(automesh: Terminal, gateway: ScriptedGateway) -> None:
    building(gateway, release(site_pb2.RELEASE_STATE_FAILED, failure="2 links lead nowhere", checks=["a.md: b.md"]))
    done = automesh("doc", "publish", "handbook")
    assert done.exit_code == 3
    assert "2 links lead nowhere" in done.output
    assert "a.md: b.md" in done.output


def test_a_rollback_wants_a_reason_and_says_that_merges_do_not_publish(
    automesh: Terminal, gateway: ScriptedGateway
) -> None:
    assert "--reason" in getattr(automesh("doc", "rollback", "handbook").exception, "next_step", "")
    answer = site_service_pb2.RollBackSiteResponse(
        release=release(site_pb2.RELEASE_STATE_CURRENT), site=site_pb2.Site(paused="rolled back: wrong page")
    )
    gateway.on("RollBackSite", answer)
    done = automesh("doc", "rollback", "handbook", "--reason", "wrong page")
    assert "rel_1" in done.output
    assert "automesh doc resume handbook" in done.output


def test_a_site_is_changed_with_the_etag_that_was_read(automesh: Terminal, gateway: ScriptedGateway) -> None:
    gateway.on("GetSite", site_service_pb2.GetSiteResponse(site=site_pb2.Site(space="handbook", etag="s3", keep=5)))
    gateway.on("UpdateSite", lambda request: site_service_pb2.UpdateSiteResponse(site=_same(request.site)))
    done = automesh("doc", "site", "handbook", "--theme", "dark", "--auto")
    sent = gateway.requests("UpdateSite")[0].site
    assert (sent.theme, sent.auto_publish, sent.keep, sent.etag) == ("dark", True, 5, "s3")
    assert "on every merge into main" in done.output


def _same(site: Any) -> site_pb2.Site:
    return site_pb2.Site.FromString(site.SerializeToString())


# ---------------------------------------------------------------------- reviews, comments, templates, backups
def review(**fields: Any) -> review_service_pb2.Review:
    return review_service_pb2.Review(
        review_id="review_1", space="handbook", branch="next", target="main", required_approvals=2, **fields
    )


def test_a_review_goes_from_proposal_to_merge(automesh: Terminal, gateway: ScriptedGateway) -> None:
    gateway.on("CreateReview", review_service_pb2.CreateReviewResponse(review=review()))
    gateway.on("JudgeReview", review_service_pb2.JudgeReviewResponse(review=review(approvals=2)))
    merged = review_service_pb2.MergeReviewResponse(review=review(), revisions=[document_pb2.Revision()])
    gateway.on("MergeReview", merged)
    proposed = automesh("doc", "review", "propose", "handbook", "next", "--title", "Next", "--reviewer", "ann")
    assert "0 of 2 approvals" in proposed.output
    assert list(gateway.requests("CreateReview")[0].reviewers) == ["ann"]
    assert "2 of 2 approvals" in automesh("doc", "review", "approve", "review_1").output
    assert gateway.requests("JudgeReview")[0].verdict == review_service_pb2.VERDICT_APPROVED
    assert "1 documents" in automesh("doc", "review", "merge", "review_1", "--delete-branch").output
    assert gateway.requests("MergeReview")[0].delete_branch


def test_a_comment_is_put_on_the_words_that_are_meant(automesh: Terminal, gateway: ScriptedGateway) -> None:
    made = comment_service_pb2.CreateCommentResponse(comment=comment_service_pb2.Comment(comment_id="comment_1"))
    gateway.on("CreateComment", made)
    assert automesh("doc", "comment", "add", PLACE, "really?", "--on", "port is 80").exit_code == 0
    anchor = gateway.requests("CreateComment")[0].anchor
    assert (anchor.revision_id, anchor.start, anchor.end) == ("rev_3", 4, 14)
    assert "does not contain" in str(automesh("doc", "comment", "add", PLACE, "x", "--on", "nowhere").exception)


def test_a_template_is_filled_in_and_saved(automesh: Terminal, gateway: ScriptedGateway) -> None:
    template = template_service_pb2.Template(
        template_id="adr", variables=[template_service_pb2.Variable(name="title", required=True)]
    )
    gateway.on("GetTemplate", template_service_pb2.GetTemplateResponse(template=template))
    rendered = template_service_pb2.RenderTemplateResponse(content="# Use it\n", path="adr/1-use-it.md")
    gateway.on("RenderTemplate", rendered)
    gateway.on("CreateDocument", pb.CreateDocumentResponse(document=page(path="adr/1-use-it.md")))
    shown = automesh("doc", "template", "render", "adr", "-v", "title=Use it", "-v", "number=7", "-v", "tags=[1, 2]")
    assert shown.output == "# Use it\n"
    values = gateway.requests("RenderTemplate")[0].values
    assert (values["title"], values["number"], list(values["tags"])) == ("Use it", 7, [1, 2])
    saved = automesh("doc", "template", "render", "adr", "-v", "title=x", "--space", "handbook")
    assert saved.exit_code == 0, saved.output
    assert gateway.requests("CreateDocument")[0].path == "adr/1-use-it.md"


def test_a_backup_is_made_and_one_space_of_it_brought_back(automesh: Terminal, gateway: ScriptedGateway) -> None:
    done = job_pb2.Job(job_id="job_1", kind=job_pb2.JOB_KIND_BACKUP, state=job_pb2.JOB_STATE_DONE, backup_id="backup_1")
    gateway.on("CreateBackup", backup_service_pb2.CreateBackupResponse(job=done))
    gateway.on("RestoreBackup", backup_service_pb2.RestoreBackupResponse(job=done))
    gateway.on("GetJob", job_service_pb2.GetJobResponse(job=done))
    assert "backup_1" in automesh("doc", "backup", "create", "--space", "handbook").output
    assert list(gateway.requests("CreateBackup")[0].spaces) == ["handbook"]
    assert automesh("doc", "backup", "restore", "backup_1", "--space", "handbook", "--as", "june").exit_code == 0
    request = gateway.requests("RestoreBackup")[0]
    assert (request.space, request.as_space) == ("handbook", "june")
