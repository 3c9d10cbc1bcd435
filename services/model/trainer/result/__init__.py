"""What a training leaves behind: the model's files, plots, its card."""
