"""The engine for one machine: Polars."""
