"""Calls to the world outside of the mesh, behind an allow-list."""
