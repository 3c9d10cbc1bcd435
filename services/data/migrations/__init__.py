"""SQL migrations of the schema `data`."""
