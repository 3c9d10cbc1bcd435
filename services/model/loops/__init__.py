"""What the service does by itself, over and over."""
