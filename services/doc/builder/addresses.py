"""Where pages are in a site, and how one refers to another: always relatively, so that a site can stand anywhere."""

from __future__ import annotations

from urllib.parse import quote

from services.doc.domain.documents.path import INDEX_NAMES, SUFFIX, relative

INDEX = "index.html"
OWN = "~"
"""Begins the names of what the builder makes itself: assets, the search index, pages of tags."""


def html_path(path: str) -> str:
    """The file of the document `path`: guides/start.md is guides/start.html, an index or readme the folder's page."""
    folder, slash, name = path.rpartition("/")
    stem = name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name
    return f"{folder}{slash}{INDEX if name.lower() in INDEX_NAMES else stem + '.html'}"


def folder_of(path: str) -> str:
    """With its slash; empty at the top."""
    return path[: path.rfind("/") + 1]


def href(target: str, source: str, anchor: str = "") -> str:
    """How the page `source` refers to the file `target`, both from the top of the site. Folders end with a slash."""
    folder, _, name = target.rpartition("/")
    shown = "" if name == INDEX else name
    way = relative(f"{folder}/{shown}" if folder else shown, source)
    fragment = f"#{quote(anchor)}" if anchor else ""
    # "./" keeps an empty way from meaning the page itself, and what looks like a scheme from being one.
    return (quote(way) or "./") + fragment
