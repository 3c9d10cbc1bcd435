"""What is checked when a document is saved, and as a report."""
