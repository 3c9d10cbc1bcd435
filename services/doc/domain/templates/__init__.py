"""Templates: documents to begin with."""
