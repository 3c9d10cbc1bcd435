"""Attachments: files beside documents."""
