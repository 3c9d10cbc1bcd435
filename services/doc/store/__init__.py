"""Ports in SQL."""
