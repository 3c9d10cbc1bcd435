"""The ports of auth in memory, for tests: they pass the same contract suites as the real ones."""
