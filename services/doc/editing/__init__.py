"""Texts that several people change at once (pycrdt), in a program of their own."""
