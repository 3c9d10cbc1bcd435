"""Other services, and the world outside."""
