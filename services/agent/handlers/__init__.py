"""What the agent can do: a handler for each task type."""
