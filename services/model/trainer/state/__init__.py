"""Where a training stands, kept so that it goes on to the same weights."""
