"""Models, their versions, and the aliases behind gates."""
