"""What people want to know of, and what other systems are told."""
