"""The listener that readers reach: it serves releases of published sites, and nothing else."""
