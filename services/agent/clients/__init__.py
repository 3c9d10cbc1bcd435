"""What reaches outside the agent's process: the sandbox and the programs run in it."""
