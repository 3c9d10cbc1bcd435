"""In-memory twins of the stores and of the orchestrator, for tests."""
