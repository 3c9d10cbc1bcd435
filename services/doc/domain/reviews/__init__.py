"""Reviews: changes of a branch, looked at before they are merged."""
