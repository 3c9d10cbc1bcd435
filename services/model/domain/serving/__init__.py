"""What predictions need to know."""
