"""`automesh doc ...`: documentation in versions: written, searched, reviewed, published, backed up."""

from __future__ import annotations

import typer

from automesh.cli import (
    doc_backup,
    doc_branch,
    doc_comment,
    doc_edit,
    doc_history,
    doc_jobs,
    doc_lint,
    doc_pages,
    doc_pull,
    doc_push,
    doc_review,
    doc_search,
    doc_site,
    doc_spaces,
    doc_stats,
    doc_template,
)

app = typer.Typer(
    help="Write documentation, look for it, review it, publish it, and roll it back.",
    epilog="Begin: automesh doc push docs/ --space handbook --create, then automesh doc publish handbook",
    no_args_is_help=True,
)
doc_push.register(app)
doc_pull.register(app)
doc_edit.register(app)
doc_pages.register(app)
doc_history.register(app)
doc_search.register(app)
doc_lint.register(app)
doc_site.register(app)
doc_stats.register(app)
doc_jobs.register(app)
app.add_typer(doc_spaces.app, name="space", rich_help_panel="More")
app.add_typer(doc_branch.app, name="branch", rich_help_panel="More")
app.add_typer(doc_review.app, name="review", rich_help_panel="More")
app.add_typer(doc_template.app, name="template", rich_help_panel="More")
app.add_typer(doc_comment.app, name="comment", rich_help_panel="More")
app.add_typer(doc_backup.app, name="backup", rich_help_panel="More")
