"""Drafts: work that nobody else sees."""
