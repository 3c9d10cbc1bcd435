"""Datasets, versions, uploads and claims on PostgreSQL."""
