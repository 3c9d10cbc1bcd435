"""Messages of the data service and its domain, both ways."""
