"""For tests, ours and yours: fakes, a throwaway CA, an in-process mesh."""
