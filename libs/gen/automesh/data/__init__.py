"""Generated from proto/automesh/data: do not edit."""
