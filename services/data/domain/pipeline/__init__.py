"""Pipelines: their steps, their expression language, what they expect of columns."""
