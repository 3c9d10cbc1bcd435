"""Documents that are edited together: rooms in which updates travel, and how revisions come of them."""
