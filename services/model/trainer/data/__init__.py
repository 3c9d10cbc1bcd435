"""The data of a training: columns, windows, and the order in which they come."""
