"""Documents, their versions, and how versions come together."""
