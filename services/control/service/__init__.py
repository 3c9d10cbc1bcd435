"""Control's servicers: they translate, and nothing else."""
