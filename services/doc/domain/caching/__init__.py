"""What costs to make and can always be made again: kept for a while under a key that says all it was made of."""
