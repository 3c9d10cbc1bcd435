"""Side-by-side measurements: `python -m bench [NAME ...]`. Printed ratios, never tests with a time limit."""
