"""The program that builds sites: its pages, their navigation, search, and what its checks see."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.doc.builder import search_index
from services.doc.builder.addresses import href, html_path
from services.doc.builder.build import ROOT_MARK, Builder, tag_file
from services.doc.builder.job import OUT, RESULT, read_job, write_job
from services.doc.builder.navigation import natural
from services.doc.builder.theme import DARK, ENOUGH, LIGHT, accent_css, contrast, readable

ROOT = Path(__file__).resolve().parents[3]


class Site:
    """A site that was built of texts by path."""

    def __init__(self, folder: Path, pages: dict[str, str], **job: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        described = [
            {"path": path, "title": _title(text, path), "updated": "2026-01-31", "tags": _tags(text)}
            for path, text in pages.items()
        ]
        told = {
            "title": "Handbook", "theme": "auto", "accent": "", "description": "", "url": "", "files": [], "moved": [],
            "pages": described, **job,
        }  # fmt: skip
        write_job(folder, told, list(pages.values()))
        self.steps: list[tuple[str, float]] = []
        builder = Builder(folder, read_job(folder), lambda step, fraction: self.steps.append((step, fraction)))
        self.result = builder.build()
        self.files = builder.files.contents

    def text(self, path: str) -> str:
        return self.files[path].decode()

    def navigation(self, path: str) -> list[tuple[str, str]]:
        """Address and words of each link."""
        tree = re.search(r'<nav class="tree".*?</nav>', self.text(path), re.DOTALL)
        assert tree is not None
        return re.findall(r'<a href="([^"]*)"(?: aria-current="page")?>([^<]*)</a>', tree[0])


def _title(text: str, path: str) -> str:
    found = re.search(r"^# (.*)$", text, re.MULTILINE)
    return found[1] if found else path


def _tags(text: str) -> list[str]:
    found = re.search(r"^tags: \[(.*)\]$", text, re.MULTILINE)
    return [tag.strip() for tag in found[1].split(",")] if found else []


PAGES = {
    "index.md": "# Home\n\nRead [the guide](guides/start.md) and [more](guides/).\n",
    "guides/start.md": "---\norder: 1\ntags: [intro, c++]\n---\n# Start\n\n## Install\n\nzebra\n\n## Run\n\nlion\n",
    "guides/10-late.md": "# Late\n\n[up](../index.md) [here](#late) [install](start.md#install)\n",
    "guides/2-early.md": "# Early\n",
    "guides/hidden.md": "---\nnav: false\n---\n# Hidden\n",
    "guides/named.md": "---\nnav: Short\n---\n# A very long name\n",
    "draft.md": "---\npublish: false\n---\n# Draft\n",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(
        tmp_path_factory.mktemp("site"),
        PAGES,
        url="https://docs.example/handbook/",
        moved=[{"path": "old/place.md", "to": "guides/start.md"}],
        files=[{"path": "img/a b.png", "sha256": "0" * 64, "size": 3, "content_type": "image/png"}],
    )


def test_a_site_has_its_pages_lists_tags_index_and_what_engines_want(site: Site) -> None:
    paths = {file["path"] for file in site.result["files"]}
    assert paths >= {
        "index.html", "guides/start.html", "guides/index.html", "~tags/index.html", "~tags/intro.html", "~404.html",
        "~search/index.json", "sitemap.xml", "robots.txt", "old/place.html", "img/a b.png",
    }  # fmt: skip
    assert site.result["pages"] == 6
    assert site.result["failure"] == ""
    assert site.result["checks"] == []
    assert "draft.html" not in paths


def test_navigation_goes_by_order_then_by_names_with_numbers_and_leaves_out_what_wants_to_be(site: Site) -> None:
    assert site.navigation("guides/start.html") == [
        ("./", "Overview"), ("start.html", "Start"), ("2-early.html", "Early"), ("10-late.html", "Late"),
        ("named.html", "Short"), ("../~tags/", "Tags"),
    ]  # fmt: skip
    assert 'href="start.html" aria-current="page"' in site.text("guides/start.html")
    assert "guides/hidden.html" not in site.text("index.html")


def test_pages_lead_to_the_one_before_and_the_one_after(site: Site) -> None:
    page = site.text("guides/2-early.html")
    assert 'rel="prev" href="start.html"' in page
    assert 'rel="next" href="10-late.html"' in page


def test_links_between_documents_lead_to_their_pages_and_folders_to_theirs(site: Site) -> None:
    assert '<a href="guides/start.html" rel' in site.text("index.html")
    assert '<a href="guides/" rel' in site.text("index.html")
    late = site.text("guides/10-late.html")
    assert '<a href="../" rel' in late
    assert '<a href="start.html#install" rel' in late


def test_a_table_of_contents_leads_to_the_headings(site: Site) -> None:
    contents = re.search(r'<nav class="contents".*?</nav>', site.text("guides/start.html"), re.DOTALL)
    assert contents is not None
    assert re.findall(r'href="#([^"]*)"', contents[0]) == ["install", "run"]
    assert "contents" not in site.text("guides/2-early.html").split("</header>")[1]


def test_a_moved_page_says_where_it_is_now(site: Site) -> None:
    moved = next(file for file in site.result["files"] if file["path"] == "old/place.html")
    assert moved["location"] == "guides/start.html"
    assert 'content="0; url=../guides/start.html"' in site.text("old/place.html")


def test_what_is_there_goes_before_what_once_was(tmp_path: Path) -> None:
    picture = {"path": "old.html", "sha256": "0" * 64, "size": 3, "content_type": "text/html"}
    made = Site(tmp_path, {"index.md": "# Home\n"}, files=[picture], moved=[{"path": "old.md", "to": "index.md"}])
    assert made.result["checks"] == []
    assert [file["attachment"] for file in made.result["files"] if file["path"] == "old.html"] == [True]


def test_every_address_of_the_page_for_what_is_not_there_counts_from_the_top(site: Site) -> None:
    addresses = re.findall(r' (?:href|src|data-root)="([^"#]+)"', site.text("~404.html"))
    assert ROOT_MARK in addresses
    assert f"{ROOT_MARK}guides/start.html" in addresses
    assert all(address.startswith(ROOT_MARK) and not address.startswith(f"{ROOT_MARK}.") for address in addresses)


def test_search_finds_words_of_titles_headings_texts_and_parts_of_identifiers(tmp_path: Path) -> None:
    made = Site(
        tmp_path, {"a.md": "# Alpha\n\n## Beta\n\nmax_page_bytes and readFileSync Ärger\n", "b.md": "# Other\n\nbeta\n"}
    )
    for query, pages in {
        "alpha": ["a.html"], "beta": ["a.html", "b.html"], "page": ["a.html"], "sync": ["a.html"],
        "max_page_bytes": ["a.html"], "ärger": ["a.html"], "alpha beta": ["a.html"], "gamma": [],
    }.items():  # fmt: skip
        assert search_index.found(made.files, query) == pages, query


def test_a_large_index_is_cut_into_files_of_bounded_size(tmp_path: Path) -> None:
    words = (f"w{number:x}" for number in range(60_000))
    pages = {f"p{page}.md": f"# P{page}\n\n" + " ".join(next(words) for _ in range(100)) for page in range(600)}
    made = Site(tmp_path, pages)
    index = json.loads(made.files[search_index.INDEX])
    assert len(index["terms"]) > 5
    assert all(len(made.files[search_index.FOLDER + name]) < 1.2 * search_index.SHARD for _, name in index["terms"])
    assert search_index.found(made.files, "wea5f") == ["p599.html"]


def test_the_same_job_makes_the_same_site_in_any_process(tmp_path: Path) -> None:
    digests = set()
    pages = {f"p{number}.md": f"# P{number}\n\n- [x] a\n\n<p id=x title=y>z</p>\n" for number in range(50)} | PAGES
    for seed in ("1", "2", "3"):
        folder = tmp_path / seed
        folder.mkdir()
        job = {
            "title": "x", "theme": "dark", "accent": "#ff0000", "description": "", "url": "", "files": [], "moved": [],
            "pages": [{"path": path, "title": path, "updated": "2026-01-31", "tags": ["b", "a"]} for path in pages],
        }  # fmt: skip
        write_job(folder, job, list(pages.values()))
        command = [sys.executable, "-m", "services.doc.builder", str(folder), str(4 << 30)]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        steps = [json.loads(line)["fraction"] for line in done.stdout.splitlines()]
        assert steps == sorted(steps)
        result = json.loads((folder / RESULT).read_bytes())
        assert all((folder / OUT / file["sha256"]).is_file() for file in result["files"])
        digests.add(result["digest"])
    assert len(digests) == 1


def test_what_is_wrong_is_told_by_page(tmp_path: Path) -> None:
    pages = {
        "a.md": "# A\n\n[x](gone.md) [y](b.md#nowhere) [z](#nothing) ![p](no.png)\n",
        "b.md": "---\ntitle: [\n---\n# B\n",
        "~own.md": "# Own\n",
        "readme.md": "# R\n",
        "index.md": "# I\n",
    }
    made = Site(tmp_path, pages, files=[{"path": "a.html", "sha256": "0" * 64, "size": 1, "content_type": "text/html"}])
    told = "\n".join(made.result["checks"])
    for part in (
        "a.md: the link 'gone.md' leads nowhere",
        "a.md: the link 'no.png' leads nowhere",
        "a.html: the link 'b.html#nowhere' leads to a place that is not in b.html",
        "a.html: the link '#nothing' leads to a place that is not in a.html",
        "b.md: front matter, line",
        "~own.md: left out",
        "readme.md: left out, for index.md is at the same address",
        "a.html: left out, the site has a file of its own at this address",
    ):
        assert part in told, part
    assert made.result["failure"] == ""


def test_no_documents_are_no_site(tmp_path: Path) -> None:
    assert "no documents" in Site(tmp_path, {}).result["failure"]
    assert "no documents" in Site(tmp_path / "b", {"a.md": PAGES["draft.md"]}).result["failure"]


def test_a_page_that_cannot_be_rendered_is_shown_as_text_and_told(tmp_path: Path) -> None:
    made = Site(tmp_path, {"a.md": "# A\n", "deep.md": "# Deep\n\n" + ">" * 100 + " <b>x\n"})
    assert any("deep.md: shown as plain text" in check for check in made.result["checks"])
    assert "&lt;b&gt;x" in made.text("deep.html")


def test_a_site_with_a_folder_of_very_many_pages_stays_small(tmp_path: Path) -> None:
    made = Site(tmp_path, {f"many/page-{number}.md": f"# Page {number}\n" for number in range(1000)})
    assert len(made.files["many/page-500.html"]) < 40_000
    assert "All 1000 …</a>" in made.text("many/page-500.html")
    assert made.text("many/index.html").count("<li><a") > 1000


def test_addresses_work_wherever_a_site_stands() -> None:
    assert html_path("a/readme.md") == "a/index.html"
    assert html_path("a/b c.md") == "a/b c.html"
    assert href("index.html", "index.html") == "./"
    assert href("index.html", "a/b.html") == "../"
    assert href("a/index.html", "a/b.html") == "./"
    assert href("a/b c.html", "x/y.html", "ü") == "../a/b%20c.html#%C3%BC"
    assert href("javascript.html", "a.html") == "javascript.html"


PATH = st.lists(
    st.text(alphabet="ab é~", min_size=1, max_size=3).filter(lambda part: part.strip() == part), min_size=1, max_size=4
)


@given(PATH, PATH)
def test_a_relative_address_leads_from_any_page_to_any_other(source: list[str], target: list[str]) -> None:
    from urllib.parse import unquote, urljoin

    here, there = "/".join(source) + ".html", "/".join(target) + ".html"
    led = urljoin(f"https://docs.example/{'/'.join(source)}.html", href(there, here))
    assert unquote(led) == f"https://docs.example/{there}"


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_any_accent_can_be_read_on_light_and_on_dark_ground(colour: tuple[int, int, int]) -> None:
    for ground in (LIGHT, DARK):
        assert contrast(readable(colour, ground), ground) >= ENOUGH


def test_an_accent_that_is_no_colour_is_none() -> None:
    assert accent_css("red;}body{display:none") == accent_css("")
    assert accent_css("#0b7285") != accent_css("")


def test_names_with_numbers_sort_as_people_count() -> None:
    assert sorted(["10-a", "2-b", "1", "a"], key=natural) == ["1", "2-b", "10-a", "a"]


def test_tags_that_look_alike_in_an_address_have_pages_of_their_own() -> None:
    assert len({tag_file(tag) for tag in ("c", "C", "c++", "c#", "++")}) == 5
    assert tag_file("intro") == "~tags/intro.html"
    assert unicodedata.is_normalized("NFC", tag_file("cafe\u0301"))
    assert tag_file("cafe\u0301") != tag_file("caf\u00e9")
