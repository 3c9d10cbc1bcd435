"""SQL migrations of the schema doc."""
