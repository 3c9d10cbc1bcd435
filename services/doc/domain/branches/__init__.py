"""Branches: lines of work on a whole space."""
