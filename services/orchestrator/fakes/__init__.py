"""In-memory twins of the stores, for tests: the contract suite holds them equal to SQL."""
