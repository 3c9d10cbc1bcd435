"""The pages around the texts: Jinja2 layouts, and the files that every page needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files as package_files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from services.doc.builder.addresses import INDEX, OWN, href
from services.doc.builder.files import Files
from services.doc.builder.job import Job
from services.doc.builder.navigation import Entry, Navigation
from services.doc.builder.theme import accent_css

_PACKAGE = package_files("services.doc.builder")
CONTENTS_FROM = 2
"""Headings that a table of contents needs at least."""


class Layout:
    """Puts texts into pages."""

    def __init__(self, job: Job, navigation: Navigation, files: Files, *, has_tags: bool) -> None:
        environment = Environment(loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined)
        self._page = environment.get_template("page.html.j2")
        self._moved = environment.get_template("moved.html.j2")
        self._navigation = navigation
        theme = job.theme if job.theme in {"light", "dark"} else "auto"
        self._shared: Mapping[str, Any] = {
            "site": {"title": job.title, "theme": theme},
            "assets": _assets(job, files),
            "has_tags": has_tags,
        }

    def page(self, file: str, page: Mapping[str, Any], content: str, *, tree: str | None = None) -> bytes:
        """A page of the site. `tree` in the place of the navigation as this file has it."""
        before, after = self._navigation.neighbours(file)
        made = self._page.render(
            self._shared,
            page=page,
            root=root_of(file),
            home=href(INDEX, file),
            content=Markup(content),  # noqa: S704 - comes out of the sanitiser, or is escaped
            navigation=Markup(self._navigation.html(file) if tree is None else tree),  # noqa: S704 - is escaped
            trail=[{"href": href(step.file, file), "label": step.label} for step in page["trail"]],
            contents=page["contents"] if len(page["contents"]) >= CONTENTS_FROM else [],
            before=_link(before, file),
            after=_link(after, file),
        )
        return made.encode()

    def moved(self, file: str, to: str, title: str) -> bytes:
        """A page that only says where another is now."""
        return self._moved.render(href=href(to, file), title=title).encode()


def root_of(file: str) -> str:
    """The way from a page to the top of the site."""
    return "../" * file.count("/") or "./"


def _link(entry: Entry | None, file: str) -> Mapping[str, str] | None:
    return {"href": href(entry.file, file), "label": entry.label} if entry else None


def _assets(job: Job, files: Files) -> Mapping[str, str]:
    def add(name: str) -> str:
        stem, _, suffix = name.rpartition(".")
        content = _PACKAGE.joinpath("assets", name).read_bytes()
        return files.add_hashed(f"{OWN}assets/{stem}", suffix, content)

    return {
        "style": add("site.css"),
        "icon": add("icon.svg"),
        "theme": add("theme.js"),
        "site": add("site.js"),
        "search": add("search.js"),
        "accent": files.add_hashed(f"{OWN}assets/accent", "css", accent_css(job.accent).encode()),
    }


def _source(name: str) -> str:
    return _PACKAGE.joinpath("layouts", name).read_text(encoding="utf-8")
