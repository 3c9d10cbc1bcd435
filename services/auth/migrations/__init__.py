"""The schema of auth, forward only."""
