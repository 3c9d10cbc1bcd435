"""The engine for many machines: Daft on Ray."""
