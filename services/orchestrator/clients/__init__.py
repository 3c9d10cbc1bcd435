"""Neighbours: the other replicas, and whoever counts."""
