"""What reaches outside the agent's process: programs in and out of the sandbox, work folders, other services."""
