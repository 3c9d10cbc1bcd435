"""Runs: one training each, from the queue to the version that came of it."""
