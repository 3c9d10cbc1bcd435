"""Nothing that people write runs in a page that is made of it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from services.doc.builder.build import Builder
from services.doc.builder.job import read_job, write_job
from services.doc.rendering.html import MarkdownRenderer
from services.doc.rendering.policy import CLASSES, TAGS
from tests.unit.doc.xss_corpus import CORPUS, FIELDS

PAGE_TAGS = TAGS | {
    "html",
    "head",
    "meta",
    "title",
    "link",
    "script",
    "body",
    "header",
    "button",
    "nav",
    "main",
    "article",
    "footer",
}
SAFE_ADDRESS = re.compile(r"(https?://|mailto:|#|\.{0,2}/|[\w.~%-]+(/|#|\.html|\.png|$))")
PAGE_SCRIPT = re.compile(r"(\./|(\.\./)+|/~root~/)~assets/(theme|site|search)\.[0-9a-f]{12}\.js")


class Danger(HTMLParser):
    """Collects what could run, load, or be taken for a part of the page around."""

    def __init__(self, tags: frozenset[str], *, page: bool = False) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.page = tags, page
        self.found: list[str] = []
        self.ids: list[str] = []
        self.in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.tags:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        self.in_script = tag == "script"
        if self.in_script and not PAGE_SCRIPT.fullmatch(dict(attrs).get("src") or ""):
            self.found.append(f"script {attrs}")

    def handle_endtag(self, tag: str) -> None:
        self.in_script = False

    def handle_data(self, data: str) -> None:
        if self.in_script and data.strip():
            self.found.append(f"script with {data[:40]!r}")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"comment {data[:40]!r}")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"instruction {data[:40]!r}")

    def unknown_decl(self, data: str) -> None:
        self.found.append(f"declaration {data[:40]!r}")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith("on") or name in {
            "style",
            "srcdoc",
            "formaction",
            "action",
            "background",
            "xlink:href",
            "srcset",
        }:
            self.found.append(f"{tag} {name}={value[:60]!r}")
        if name in {"href", "src"} and (
            not SAFE_ADDRESS.match(value) or re.match(r"\s*(java|vb|live)script\s*:|\s*data:", value, re.I)
        ):
            self.found.append(f"{tag} {name}={value[:60]!r}")
        if name == "src" and tag == "img" and re.match(r"[a-z]+:|//|[/\\]{2}", value, re.I):
            self.found.append(f"a foreign picture: {value[:60]!r}")
        if name == "http-equiv":
            self.found.append(f"meta {name}={value}")
        if name in {"id", "name"} and not self.page:
            self.ids.append(value)
            if ":" in value:
                self.found.append(f"an id of the page around: {value!r}")
        if name == "class" and not self.page:
            strange = [
                each
                for each in value.split()
                if each not in CLASSES and not re.fullmatch(r"(language-|hl-|am-).*", each)
            ]
            self.found += [f"class {each!r}" for each in strange]


def dangers(html: str) -> list[str]:
    parser = Danger(TAGS)
    parser.feed(html)
    parser.close()
    return parser.found


def anywhere(target: str) -> str | None:
    """A resolver that finds everything: the worst there is."""
    return "x.html" if not target.startswith("gone") else None


def test_the_corpus_is_as_large_as_it_must_be() -> None:
    assert len(set(CORPUS)) == len(CORPUS) > 250


def test_the_parser_of_these_tests_sees_danger_where_there_is_some() -> None:
    for html in (
        "<script>x</script>",
        "<p onclick=x>",
        '<a href="javascript:x">',
        '<img src="//e.x/y">',
        "<!--x-->",
        '<p id="am:x">',
    ):
        assert dangers(html), html


@pytest.mark.parametrize("written", CORPUS)
def test_nothing_that_runs_is_left(written: str) -> None:
    html = MarkdownRenderer().render(written, resolve=anywhere)
    assert dangers(html) == []


@pytest.mark.parametrize("written", CORPUS)
def test_nor_in_the_middle_of_other_text_in_a_table_a_quotation_a_list_or_html(written: str) -> None:
    line = written.replace("\n", " ")
    around = f"before {written} after\n\n| a |\n|---|\n| {line} |\n\n> {line}\n\n- {line}\n\n"
    page = f"{around}<div>\n{written}\n</div>\n\n## {line}\n"
    html = MarkdownRenderer().render(page, resolve=anywhere)
    assert dangers(html) == []


@pytest.mark.parametrize("written", CORPUS)
def test_what_was_made_safe_stays_so_when_it_is_made_safe_again(written: str) -> None:
    """A browser parses what the sanitiser wrote once more; there must be no second meaning in it."""
    once = MarkdownRenderer().render(written, resolve=anywhere)
    again = MarkdownRenderer().render(f"<div>\n{once}\n</div>", resolve=anywhere)
    assert dangers(again) == []


def test_one_page_of_the_whole_corpus_is_as_safe_as_each() -> None:
    for order in (CORPUS, tuple(reversed(CORPUS)), tuple(sorted(CORPUS))):
        assert dangers(MarkdownRenderer().render("\n\n".join(order), resolve=anywhere)) == []


def test_pages_of_a_site_hold_what_people_call_things_as_text_only(tmp_path: Path) -> None:
    pages, texts = [], []
    for number, field in enumerate(FIELDS):
        matter = json.dumps({"title": field, "nav": field, "description": field, "lang": field, "tags": [field]})
        pages.append({"path": f"a/page-{number}.md", "title": field, "updated": "2026-01-31", "tags": [field]})
        texts.append(f"---\n{matter}\n---\n\n## {field}\n\n{field}\n")
    pages.append(
        {
            "path": "b'\"&x/<i>'.md".replace("<", "(").replace(">", ")").replace('"', ""),
            "title": "t",
            "updated": "2026-01-31",
            "tags": [],
        }
    )
    texts.append("\n\n".join(CORPUS))
    job = {
        "title": FIELDS[0], "theme": FIELDS[0], "accent": FIELDS[0], "description": FIELDS[0], "url": "https://docs.example/x/",
        "pages": pages, "files": [], "moved": [{"path": "old.md", "to": "a/page-1.md"}],
    }  # fmt: skip
    write_job(tmp_path, job, texts)
    builder = Builder(tmp_path, read_job(tmp_path), lambda step, fraction: None)
    result = builder.build()
    assert result["failure"] == ""
    made = {path: content.decode() for path, content in builder.files.contents.items() if path.endswith(".html")}
    assert len(made) > 2 * len(FIELDS)
    for path, text in made.items():
        parser = Danger(frozenset(PAGE_TAGS), page=True)
        parser.feed(text)
        parser.close()
        expected = ["meta http-equiv=refresh"] if path == "old.html" else []
        assert parser.found == expected, path
