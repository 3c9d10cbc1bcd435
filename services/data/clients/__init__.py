"""What the data service reaches out to: the orchestrator, URLs, the converting program."""
