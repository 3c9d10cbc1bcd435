"""Serves predictions: loads versions, gathers requests into batches, speaks the Open Inference Protocol."""
