"""Stand-ins in memory, held equal to the real ones by the contract tests."""
