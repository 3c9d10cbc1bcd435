"""What happened on the main branches, for all who follow it: search, caches, publishing, notifications."""
