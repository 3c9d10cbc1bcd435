"""Tasks, leases, agents and artifacts in PostgreSQL: the only room that knows there is a database."""
