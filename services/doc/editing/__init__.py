"""Rooms of live editing."""
