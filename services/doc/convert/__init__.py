"""Messages <-> domain."""
