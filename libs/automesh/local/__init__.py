"""The supervisor of the whole stack on one machine."""
