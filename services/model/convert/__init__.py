"""Messages and the domain, both ways."""
