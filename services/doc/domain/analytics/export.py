"""The figures of a space as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from services.doc.domain.analytics.figures import Figures

HEADER = ("kind", "name", "path", "title", "count")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(figures: Figures) -> str:
    """One line a count. Nothing that a spreadsheet would take for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER)
    for kind, name, path, title, count in _lines(figures):
        writer.writerow((kind, _plain(name), _plain(path), _plain(title), count))
    return out.getvalue()


def _lines(figures: Figures) -> Iterator[tuple[str, str, str, str, object]]:
    for day in figures.days:
        for kind, count in (
            ("views", day.views),
            ("robot_views", day.robot_views),
            ("searches", day.searches),
            ("edits", day.edits),
        ):
            yield kind, day.day.isoformat(), "", "", count
    for kind, documents in (
        ("most_read", figures.most_read),
        ("most_edited", figures.most_edited),
        ("broken_links", figures.broken_links),
    ):
        for each in documents:
            yield kind, each.document_id, each.path, each.title, each.count
    for kind, queries in (("without_results", figures.without_results), ("without_clicks", figures.without_clicks)):
        for query in queries:
            yield kind, query.query, "", "", query.count
    for page in figures.stale:
        yield "stale", page.document_id, page.path, page.title, page.due_at.date().isoformat()
    yield "documents", "", "", "", figures.documents


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
