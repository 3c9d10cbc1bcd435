"""The published sites over HTTP."""
