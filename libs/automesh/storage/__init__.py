"""Where things are kept: PostgreSQL connections and migrations, the encrypted blob store, Redis."""
