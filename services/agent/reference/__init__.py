"""Writes reference documentation of a Python package from its source, which is read and never run."""
