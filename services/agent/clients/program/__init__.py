"""Runs the programs of other services for the time of a task, as processes of their own."""
