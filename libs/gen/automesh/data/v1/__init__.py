"""Generated from proto/automesh/data/v1: do not edit."""
