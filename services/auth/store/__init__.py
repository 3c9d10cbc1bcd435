"""What auth keeps in PostgreSQL. The only room of this service that knows there is a database."""
