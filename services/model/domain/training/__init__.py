"""What a training is asked to do, and whether the data fits it."""
