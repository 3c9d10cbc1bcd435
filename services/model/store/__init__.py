"""Models, runs, points and sweeps in PostgreSQL."""
