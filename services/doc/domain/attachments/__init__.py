"""Pictures and other files beside documents."""
