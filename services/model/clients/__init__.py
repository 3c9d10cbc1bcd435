"""Neighbours: the orchestrator, the data service, the other replicas, and the web."""
