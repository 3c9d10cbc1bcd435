"""Reads what people upload, and says clearly what is wrong with it."""
