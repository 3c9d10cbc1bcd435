"""What is in a text of Markdown."""
