"""Sweeps: trainings that differ in some parameters."""
