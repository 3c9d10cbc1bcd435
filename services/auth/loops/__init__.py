"""What auth does by itself: rotating keys, forgetting what is over."""
