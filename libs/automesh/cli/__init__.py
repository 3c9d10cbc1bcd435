"""The `automesh` command."""
