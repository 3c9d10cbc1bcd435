"""orchestrator: accepts tasks, hands them to agents, remembers what became of them."""
