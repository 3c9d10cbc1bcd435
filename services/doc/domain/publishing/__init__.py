"""Sites of spaces: built, checked, switched to in one step, and back."""
