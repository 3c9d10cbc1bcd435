"""Numbered SQL steps, applied in order, never changed afterwards."""
