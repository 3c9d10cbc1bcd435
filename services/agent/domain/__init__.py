"""What the agent's own task types mean: limits, reports and rules. Pure."""
