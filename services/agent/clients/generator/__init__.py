"""Generates tests for a Python module; whatever imports the module runs in the sandbox."""
