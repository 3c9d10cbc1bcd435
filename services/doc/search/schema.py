"""Fields of the three tantivy indexes of a tenant: sections, pages, and what links say.

They are three, because the lengths that BM25 compares with are means over a whole index.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import tantivy

from services.doc.domain.search.page import IndexedPage
from services.doc.domain.search.tokens import fold, parts

VERSION = 2
"""Another one: every index is built anew. Raise it with every change of fields or tokens."""


def sections() -> tantivy.Schema:
    """A document for each section."""
    builder = _with_filters(tantivy.SchemaBuilder())
    builder.add_text_field("written", tokenizer_name="whitespace", index_option="freq")
    builder.add_unsigned_field("page", indexed=True, fast=True)
    builder.add_unsigned_field("exact", fast=True)
    builder.add_bytes_field("shown", stored=True)
    return builder.build()


def pages() -> tantivy.Schema:
    """A document for each page."""
    builder = _with_filters(tantivy.SchemaBuilder())
    builder.add_text_field("surface", tokenizer_name="whitespace", index_option="basic")
    builder.add_text_field("title_words", tokenizer_name="whitespace", index_option="basic")
    builder.add_unsigned_field("page", indexed=True, fast=True)
    builder.add_unsigned_field("place", indexed=True, fast=True)
    builder.add_unsigned_field("exact", fast=True)
    builder.add_unsigned_field("content", fast=True)
    builder.add_bytes_field("shown", stored=True)
    return builder.build()


def links() -> tantivy.Schema:
    """A document for each text that leads from one page to another."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("words", tokenizer_name="whitespace")
    builder.add_text_field("space", tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("page", indexed=True)
    builder.add_unsigned_field("target", fast=True)
    return builder.build()


def _with_filters(builder: tantivy.SchemaBuilder) -> tantivy.SchemaBuilder:
    builder.add_text_field("words", tokenizer_name="whitespace")
    for name in ("space", "tag", "author"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("changed", indexed=True, fast=True)
    return builder


def section_documents(page: IndexedPage) -> Iterator[tantivy.Document]:
    """Of one page."""
    for section in page.sections:
        document = _filtered(page, section.bag)
        document.add_text("written", section.written)
        document.add_unsigned("page", page.number)
        document.add_unsigned("exact", section.exact)
        document.add_bytes("shown", orjson.dumps([section.heading, section.anchor, section.text]))
        yield document


def page_document(page: IndexedPage) -> tantivy.Document:
    """Of one page."""
    document = _filtered(page, page.bag)
    document.add_text("surface", page.surface)
    document.add_text("title_words", " ".join(parts(fold(page.title))))
    document.add_unsigned("page", page.number)
    document.add_unsigned("place", page.place)
    document.add_unsigned("exact", page.exact)
    shown = [page.document_id, page.space, page.path, page.title, list(page.tags), page.changed_at.isoformat()]
    document.add_bytes("shown", orjson.dumps(shown))
    document.add_unsigned("content", page.content)
    return document


def link_documents(page: IndexedPage) -> Iterator[tantivy.Document]:
    """Of one page, for those that it links to."""
    for link in page.links:
        document = tantivy.Document()
        document.add_text("words", link.bag)
        document.add_text("space", page.space)
        document.add_unsigned("page", page.number)
        document.add_unsigned("target", link.target)
        yield document


def _filtered(page: IndexedPage, bag: str) -> tantivy.Document:
    document = tantivy.Document()
    document.add_text("words", bag)
    document.add_text("space", page.space)
    for tag in page.tags:
        document.add_text("tag", tag)
    document.add_text("author", page.author)
    document.add_integer("changed", round(page.changed_at.timestamp() * 1_000_000))
    return document
