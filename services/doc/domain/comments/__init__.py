"""Comments, anchored to text."""
