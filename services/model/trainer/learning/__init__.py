"""The loop and what turns in it: steps, schedules, losses, metrics."""
