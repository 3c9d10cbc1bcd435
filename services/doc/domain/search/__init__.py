"""Search: tokens, queries, ranking."""
