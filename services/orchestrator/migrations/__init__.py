"""Numbered steps of the schema `orchestrator`; forward only."""
