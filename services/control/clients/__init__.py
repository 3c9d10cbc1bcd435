"""Control's way to the outside: Consul, and the services it asks for their health."""
